"""What a builder's actor has on the master's disk: the log that it writes, the result that arrives, what it reads again.

Obeys the orders of `actors.core.builder` that are about files, and answers with what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from actors.core.builder.events import (
    ChangesRead,
    ControlRead,
    Event,
    LibrarianRefused,
    LogKept,
    LogOpened,
    ResultKept,
    ResultSpoilt,
    Store,
)
from actors.core.builder.orders import (
    AppendLog,
    KeepLog,
    KeepResult,
    LetGo,
    OpenLog,
    OpenResult,
    ReadChanges,
    ReadControl,
    WriteResult,
)
from actors.messages import ResultStored
from simulation.environment.agenda import Agenda
from simulation.environment.disk import Disk, DiskFull


class Files:
    """The files of one life of a builder's actor."""

    def __init__(self, disk: Disk, agenda: Agenda) -> None:
        """Begin with none open."""
        self._disk = disk
        self._agenda = agenda
        self._result: tuple[str, int, bytes] = ("", 0, b"")  # announced hash and size, and what has arrived

    def obey(self, order: Any) -> Event | None:  # noqa: ANN401 - one of `ABOUT_FILES`
        """Do what is ordered; return what happened, if the core is to hear of it."""
        kind = type(order)
        try:
            return _OBEY[kind](self, order)
        except DiskFull as error:
            return LibrarianRefused(self._agenda.now, order.attempt, _STORES[kind], str(error))

    def _let_go(self, order: LetGo) -> None:
        self._disk.let_go(order.attempt, log_recorded=order.log_recorded)

    def _open_log(self, order: OpenLog) -> Event:
        size = self._disk.open_log(order.attempt, fresh=order.fresh)
        return LogOpened(self._agenda.now, order.attempt, size)

    def _append_log(self, order: AppendLog) -> None:
        self._disk.append_log(order.attempt, order.offset, len(order.data))

    def _keep_log(self, order: KeepLog) -> Event:
        content = self._disk.keep_log(order.attempt)
        kept = None if content is None else ResultStored(order.filename, content)
        return LogKept(self._agenda.now, order.attempt, kept)

    def _open_result(self, order: OpenResult) -> None:
        self._result = (order.sha256, order.size, b"")

    def _write_result(self, order: WriteResult) -> None:
        self._disk.write()
        sha256, size, octets = self._result
        self._result = (sha256, size, octets + order.data)

    def _keep_result(self, order: KeepResult) -> Event:
        sha256, size, octets = self._result
        content = self._disk.keep(octets)
        if (content.sha256, content.size) != (sha256, size):
            text = f"SHA-256 is {content.sha256}, announced was {sha256}"
            return ResultSpoilt(self._agenda.now, order.attempt, order.name, text)
        self._disk.contents[content.sha256] = octets
        return ResultKept(self._agenda.now, order.attempt, order.name, content)

    def _read_changes(self, order: ReadChanges) -> Event:
        return ChangesRead(self._agenda.now, order.attempt, self._disk.contents[order.sha256])

    def _read_control(self, order: ReadControl) -> Event:
        return ControlRead(self._agenda.now, order.attempt, order.name, self._disk.contents[order.sha256])


_OBEY: Final[Mapping[type[Any], Callable[[Files, Any], Event | None]]] = {
    LetGo: Files._let_go,  # noqa: SLF001 - its own
    OpenLog: Files._open_log,  # noqa: SLF001
    AppendLog: Files._append_log,  # noqa: SLF001
    KeepLog: Files._keep_log,  # noqa: SLF001
    OpenResult: Files._open_result,  # noqa: SLF001
    WriteResult: Files._write_result,  # noqa: SLF001
    KeepResult: Files._keep_result,  # noqa: SLF001
    ReadChanges: Files._read_changes,  # noqa: SLF001
    ReadControl: Files._read_control,  # noqa: SLF001
}
_STORES: Final[Mapping[type[Any], Store]] = {
    OpenLog: Store.LOG,
    AppendLog: Store.LOG,
    KeepLog: Store.LOG,
    WriteResult: Store.RESULTS,
    KeepResult: Store.RESULTS,
}
ABOUT_FILES: Final = frozenset(_OBEY)
