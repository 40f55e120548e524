"""What everybody in a simulated farm stands on: virtual time, the network, mail, the disk, the database."""
