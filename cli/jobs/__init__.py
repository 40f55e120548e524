"""What waits in the queue, why, and what an operator says of it."""
