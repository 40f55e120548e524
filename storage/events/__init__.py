"""The append-only event log: who reads it, who is told, what is forgotten."""
