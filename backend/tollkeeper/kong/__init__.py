"""What Kong knows: consumers, routes and services, read from a declarative file or the Admin API."""
