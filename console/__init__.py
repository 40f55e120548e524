"""The debug console: look into the actors of a running farm, and meddle with them (docs/console.md)."""
