"""What the slave must still know after it was killed: farm, epoch, and the build it holds.

Immutable; `slave.core.machine` hands a new one out in every `SaveState`, `slave.disk.state_directory` writes it to disk.
Pure: no I/O here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from protocol.messages import ResultFile, SlaveState, WireOutcome
from slave.errors import CorruptRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1  #: of the plain form; a higher one is refused


@dataclass(frozen=True, slots=True)
class Record:
    """The durable part of the slave's state."""

    farm: str | None = None  #: UUID of the farm this slave belongs to; None until the first authenticated session
    epoch: int = 0  #: the highest session epoch seen
    state: SlaveState = SlaveState.IDLE
    attempt: str | None = None  #: present unless IDLE
    accepted_at: float = 0.0  #: monotonic seconds when the build was accepted
    outcome: WireOutcome | None = None  #: present while WAITING, and only then
    text: str = ""
    files: tuple[ResultFile, ...] = ()
    dependencies: tuple[str, ...] = ()
    duration: float = 0.0  #: seconds, fixed when the build ended

    def to_plain(self) -> dict[str, object]:
        """Return a dict of plain values, fit for JSON."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> Record:
        """Read back what `to_plain` gave, also after a round through JSON.

        Raises:
            CorruptRecord: it does not describe a state of the slave.
        """
        if plain.get("format") != FORMAT:
            message = f"the format is {plain.get('format')!r}; this version knows format {FORMAT} only"
            raise CorruptRecord(message)
        outcome = plain.get("outcome")
        try:
            record = cls(
                farm=_text_or_none(plain, "farm"),
                epoch=_integer(plain, "epoch"),
                state=SlaveState(_text(plain, "state")),
                attempt=_text_or_none(plain, "attempt"),
                accepted_at=_seconds(plain, "accepted_at"),
                outcome=None if outcome is None else WireOutcome(_text(plain, "outcome")),
                text=_text(plain, "text"),
                files=_files(plain),
                dependencies=tuple(str(item) for item in _sequence(plain, "dependencies")),
                duration=_seconds(plain, "duration"),
            )
        except ValueError as wrong:
            raise CorruptRecord(str(wrong)) from wrong
        if (record.attempt is None) is not (record.state is SlaveState.IDLE):
            message = f"attempt {record.attempt!r} does not go with the state {record.state}"
            raise CorruptRecord(message)
        if (record.outcome is None) is (record.state is SlaveState.WAITING):
            message = f"outcome {record.outcome!r} does not go with the state {record.state}"
            raise CorruptRecord(message)
        return record


def _text(plain: Mapping[str, object], key: str) -> str:
    value = plain.get(key)
    if not isinstance(value, str):
        message = f"{key} is {value!r}, not a string"
        raise CorruptRecord(message)
    return value


def _text_or_none(plain: Mapping[str, object], key: str) -> str | None:
    return None if plain.get(key) is None else _text(plain, key)


def _integer(plain: Mapping[str, object], key: str) -> int:
    value = plain.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        message = f"{key} is {value!r}, not a natural number"
        raise CorruptRecord(message)
    return value


def _seconds(plain: Mapping[str, object], key: str) -> float:
    value = plain.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        message = f"{key} is {value!r}, not a number of seconds"
        raise CorruptRecord(message)
    return float(value)


def _sequence(plain: Mapping[str, object], key: str) -> tuple[object, ...]:
    value = plain.get(key)
    if not isinstance(value, list | tuple):
        message = f"{key} is {value!r}, not a list"
        raise CorruptRecord(message)
    return tuple(value)


def _files(plain: Mapping[str, object]) -> tuple[ResultFile, ...]:
    files: list[ResultFile] = []
    for item in _sequence(plain, "files"):
        if not isinstance(item, dict):
            message = f"a result file is {item!r}, not a table"
            raise CorruptRecord(message)
        files.append(ResultFile(name=_text(item, "name"), size=_integer(item, "size"), sha256=_text(item, "sha256")))
    return tuple(files)
