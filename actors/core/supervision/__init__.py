"""Which actors live, which hang, and which are started again."""
