"""Where sources go, what they are built for, and what their publication does to others."""
