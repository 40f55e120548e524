"""Attempts as the farm sees them: what builders must still be told, whose fault an end is, what follows."""
