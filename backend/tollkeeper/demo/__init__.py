"""The zero-to-hero story: start every process on loopback, drive them as a user would, close the month."""
