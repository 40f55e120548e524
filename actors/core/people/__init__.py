"""What people may do and see, and what they are told."""
