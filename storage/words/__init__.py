"""What people call things, as pure rules: for repositories and their twins; the database has them again, for plain SQL."""
