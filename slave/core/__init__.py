"""What the slave decides: its states and their record, and what a build order must carry; no I/O."""
