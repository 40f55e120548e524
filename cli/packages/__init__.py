"""Debian packages outside the farm: source packages on disk, indexes, and this machine's apt."""
