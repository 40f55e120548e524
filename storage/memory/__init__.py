"""The repositories' twin in memory, for cores' tests and the simulator: same methods, errors, records; tests run on both."""
