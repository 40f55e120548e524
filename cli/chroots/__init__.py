"""The base systems that builds run in: made, brought up to date, registered."""
