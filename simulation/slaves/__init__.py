"""Slaves on real sockets whose builds are only a script, in both dialects."""
