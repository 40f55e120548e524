"""The slave's files: its directory, its cache, the root trees of builds, their logs and results."""
