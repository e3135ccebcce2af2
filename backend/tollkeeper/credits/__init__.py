"""Prepaid credit: grants of money, a double-entry ledger of what became of them, and draws for invoices."""
