"""What can go wrong between master and slave, and whose fault it is.

    ProtocolError
    ├── LocalProtocolError    we tried to do what the protocol does not allow: a bug on this side
    └── RemoteProtocolError   the peer did: it lies, is broken, or is no slave (or master) at all

A lost connection is neither: `protocol.connection.PeerClosed` is an event, for networks break without anybody's fault.
"""

from __future__ import annotations


class ProtocolError(Exception):
    """Base of what this room raises; the text is one line and names what was wrong."""


class LocalProtocolError(ProtocolError):
    """This side asked for something that the protocol forbids; nothing was sent and no state has changed."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; the session with it is over, everything else is untouched."""
