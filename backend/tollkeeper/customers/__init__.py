"""Who pays: customers and their parents, and which Kong consumers are theirs since when."""
