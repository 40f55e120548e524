"""Whether a slave can build on this machine, and what mends what is missing."""
