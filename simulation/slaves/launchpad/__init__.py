"""The simulated launchpad-buildd, hazards included."""
