"""One builder's actor without its actor: what it hears and orders, its session, and what it is about."""
