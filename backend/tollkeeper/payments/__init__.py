"""Everything Stripe: our issued invoices go there once, and what happens to them there comes back."""
