"""Sources come into archives, and builds with them: the shell over the cores that decide it, for command line and web."""
