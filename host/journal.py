"""Where log lines go: to the journal with fields, if standard error is the journal's; else to standard error as lines.

A record's fields come from `extra={"builder": …, "attempt": …}` of the logging call, or of a logger adapter; in the
journal they are `BUILDER=`, `BUILD=`, `ATTEMPT=`, `ACTOR=` (docs/adr/0122).
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from logging_journald import JournaldTransport, check_journal_stream

LINE: Final = "%(asctime)s %(levelname)s %(message)s"
FIELDS: Final = ("actor", "builder", "build", "attempt")  #: attributes of a record that become fields
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG: Final = 7


class Journal(logging.Handler):
    """Sends each record to the journal's own socket; processes that are forked share it."""

    def __init__(self, program: str) -> None:
        """Open a socket; where the journal's own is, is looked up for every record: it may start anew.

        Args:
            program: `SYSLOG_IDENTIFIER`, what `journalctl -t` takes.
        """
        super().__init__()
        self.setFormatter(logging.Formatter())
        self._program = program
        self._transport = JournaldTransport(connected=False)

    def close(self) -> None:
        """Close the socket."""
        self._transport.socket.close()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Send; what the journal does not take goes to standard error, as a line."""
        try:
            self._transport.send(self._fields(record))
        except OSError:
            sys.stderr.write(f"{record.levelname} {self.format(record)}\n")

    def _fields(self, record: logging.LogRecord) -> list[tuple[str, str | int]]:
        fields: list[tuple[str, str | int]] = [
            ("MESSAGE", self.format(record)),
            ("PRIORITY", next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)),
            ("SYSLOG_IDENTIFIER", self._program),
            ("LOGGER", record.name),
            ("CODE_FILE", record.pathname),
            ("CODE_LINE", record.lineno),
            ("CODE_FUNC", record.funcName or ""),
        ]
        told = ((name, getattr(record, name, None)) for name in FIELDS)
        return fields + [(name.upper(), str(value)) for name, value in told if value not in {None, ""}]


def log_to_journal_or_stderr(program: str, level: int) -> None:
    """Give the root logger its one handler, unless it has some.

    Args:
        program: what the journal knows us by.
        level: of the root logger.
    """
    logging.basicConfig(level=level, format=LINE, handlers=_handlers(program))


def _handlers(program: str) -> list[logging.Handler]:
    return [Journal(program) if check_journal_stream() else logging.StreamHandler()]
