"""Launchers of the installed product; see `buildd_master.rooms`."""

__version__ = "0.1.0"
