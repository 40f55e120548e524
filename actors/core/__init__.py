"""The deciders: events in, orders out; no clock, socket, database, random or log."""
