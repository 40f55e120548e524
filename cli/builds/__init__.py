"""What is to be built, is being built, and was: from the source package to its results."""
