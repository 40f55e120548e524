"""The actor of one builder: its links to slaves, and the files of its attempt."""
