"""The master's own process: what it begins with, where it is found, and what runs beside the actors."""
