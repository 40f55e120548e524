"""The queue actor, the one with a database: its turns, books and reports, and its view of its own disk."""
