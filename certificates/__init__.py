"""Certificates of a farm: who an end of a connection is, how that is made, shown and checked."""
