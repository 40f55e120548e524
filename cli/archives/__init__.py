"""Where sources come from and results go: archives, series, and what is published."""
