"""One command of a build in namespaces of its own: its rights, its limits, its end."""
