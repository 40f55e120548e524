"""A farm that is not there: whole farms in virtual time, and slaves on real sockets that follow a script."""
