"""Who forks actors and sees them die: the supervisor, and nurseries below it."""
