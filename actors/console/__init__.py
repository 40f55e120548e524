"""The debug console's end in the farm: its way in, and what it asks of an actor, holds there and copies."""
