"""Totals per customer, feature and period, and the proof behind each."""
