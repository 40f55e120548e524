"""What people call things: what names may look like, and what they name."""
