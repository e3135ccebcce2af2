"""Coupons: what is sold for less by a code, who redeemed it, and on which invoices it was used."""
