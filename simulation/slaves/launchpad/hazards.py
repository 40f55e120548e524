"""How bad a simulated launchpad-buildd is, by the numbers of the dialect's page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Hazards:
    """How bad it is; by default as bad as the page says, and quick."""

    abort_seconds: float = 0.02  #: that an abort takes (3)
    missing_file_seconds: float = 0.05  #: until a build without one of its files has failed (5)
    leftovers: set[str] = field(default_factory=set)  #: ids whose directory is still there (1)
    ranges: bool = True  #: it knows range requests; else every answer is the whole file
    say: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)  #: by method: what it says instead
    serve: Callable[[str, bytes], bytes] | None = None  #: path, content → what is handed out instead
    hold: set[str] = field(default_factory=set)  #: methods that are not answered while they are in here
    pause: threading.Event = field(default_factory=threading.Event)  #: while it is set, nothing is answered
