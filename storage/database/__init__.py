"""PostgreSQL: run, reached, migrated; how named queries become records."""
