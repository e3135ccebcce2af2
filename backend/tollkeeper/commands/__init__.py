"""What an operator types: one file per group of commands, loaded by cli.py when called."""
