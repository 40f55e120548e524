"""Whom the farm knows, and by what: people, their tokens, certificates."""
