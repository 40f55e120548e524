"""What builds wait for, and what satisfies it."""
