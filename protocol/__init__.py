"""How master and slave talk: messages, codec, connection, transfers; no I/O, no clock."""
