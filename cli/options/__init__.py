"""What is typed: options that several commands have, the names in them, an example of each command."""
