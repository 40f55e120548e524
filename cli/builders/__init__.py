"""The machines that build, and who may speak for them."""
