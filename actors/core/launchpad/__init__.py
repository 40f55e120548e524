"""A launchpad-buildd slave that speaks as one of ours."""
