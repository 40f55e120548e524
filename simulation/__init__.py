"""A farm that is not there: slaves that follow a script, later whole farms on a virtual clock."""
