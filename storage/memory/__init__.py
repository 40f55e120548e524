"""The in-memory twin of the repositories, for tests of cores and for the simulator."""
