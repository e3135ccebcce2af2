"""Pure price arithmetic: one file per price model, no database, no clock, no float (docs/money.md)."""
