"""The only code that knows the database engine: sessions, column types, migrations, claims."""
