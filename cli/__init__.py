"""The command line: changes rows and reads them; the running farm follows by itself."""
