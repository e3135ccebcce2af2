"""Tax rates by code and place, and who owes the tax."""
