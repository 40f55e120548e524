"""The XML-RPC dialect of launchpad-buildd without a connection: calls to bytes, bytes to answers that were checked.

    body = encode(AskStatus())                      # to be POSTed to `RPC`
    match decode(AskStatus(), answer): …            # a `Reply` of that call, or a `Fault`

Master's side only.  Never does I/O, never believes a field: sizes, types, names and digests are looked at one by one,
and a document type (which entities, and so bombs, come in) ends the reading.  `actors.core.launchpad.link` gives the
answers their meaning.  The source is the dialect's page and nothing else: no authentication, arrays for tuples, fault
8002 for every refusal.
"""
