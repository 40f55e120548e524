"""What a turn of the queue actor writes to other actors; posted only after the commit."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from actors import messages as say
from actors.queue.books import Books
from actors.queue.storage import QueueStorage


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to post once the turn is committed."""

    builder: str | None  #: None: to the supervisor
    message: object


@dataclass(frozen=True, slots=True)
class _OrderLetter:
    """A letter that needs the attempt's `BuildOrder`, which is read for all of them at once."""

    builder: str
    attempt: UUID
    kind: type[say.Assign | say.Adopt | say.Recorded]
    answers: UUID | None = None  #: the attempt whose end `Recorded` acknowledges


class Letters:
    """The letters of one turn, in the order in which they were written."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._letters: list[Letter | _OrderLetter] = []

    def to_builder(self, builder: str, message: object) -> None:
        """Write to the builder's actor."""
        self._letters.append(Letter(builder, message))

    def to_supervisor(self, message: object) -> None:
        """Write to the supervisor."""
        self._letters.append(Letter(None, message))

    def assign(self, builder: str, attempt: UUID) -> None:
        """Give the builder this attempt to build."""
        self._letters.append(_OrderLetter(builder, attempt, say.Assign))

    def adopt(self, builder: str, attempt: UUID) -> None:
        """Let the builder go on with this attempt."""
        self._letters.append(_OrderLetter(builder, attempt, say.Adopt))

    def recorded(self, builder: str, ended: UUID, following: UUID | None) -> None:
        """Acknowledge the end of an attempt; `following`: the next one, which goes with the answer."""
        if following is not None:
            self._letters.append(_OrderLetter(builder, following, say.Recorded, answers=ended))
        else:
            self.to_builder(builder, say.Recorded(builder, self._books.life(builder), ended))

    def written(self, database: QueueStorage) -> tuple[Letter, ...]:
        """Return what to post, in order.  An attempt that is closed by now has no order: we shall hear of that."""
        needed = [letter.attempt for letter in self._letters if isinstance(letter, _OrderLetter)]
        orders = {order.attempt: order for order in database.queue.orders(needed)} if needed else {}
        letters = []
        for letter in self._letters:
            if isinstance(letter, Letter):
                letters.append(letter)
                continue
            order, life = orders.get(letter.attempt), self._books.life(letter.builder)
            if letter.answers is not None:
                letters.append(Letter(letter.builder, say.Recorded(letter.builder, life, letter.answers, order)))
            elif order is not None:
                kind = say.Adopt if letter.kind is say.Adopt else say.Assign
                letters.append(Letter(letter.builder, kind(letter.builder, life, order)))
        return tuple(letters)
