"""The truth: PostgreSQL, and the librarian."""
