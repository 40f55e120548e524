"""The slave: the daemon that builds what a master sends; it knows the protocol and nothing else of the farm."""
