"""The simulated slave of our own protocol: the real machine, and builds that are only a script."""
