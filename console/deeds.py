"""What the console does to a farm, written into its event log *before* it is done: who, what, why.

Through the same door as every command (`cli.farm.Farm.acting`).  Where that door is closed, nothing is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from actors.core.people.roles import Action
from cli.errors import CommandError
from cli.farm import Farm, open_farm
from console.line import BadCommand
from storage.builders import Builders
from storage.database.connection import farm_id
from storage.errors import StorageError
from storage.events.log import Events

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from actors.addressed import Here
    from cli.given import Given

_LONGEST = 300  #: characters of a message that stand in the event log


class Deeds:
    """The event log, as the console writes it."""

    def __init__(self, given: Given, farm_uuid: str) -> None:
        """Write as whoever `given` says; opened for each deed, so that the database may come and go.

        Args:
            given: whose database, and who writes.
            farm_uuid: the farm it is done to; nothing is written into another farm's log.
        """
        self._given = given
        self._farm_uuid = farm_uuid

    def note(self, here: Here, what: str, why: str) -> None:
        """Write down what is about to be done.

        Raises:
            BadCommand: it could not be written; it must not be done.
        """
        self._write(here, what, why, lambda _: None)

    def freeze(self, here: Here, seconds: float, why: str) -> None:
        """Write it down, and have everybody know that the builder gets nothing for so long.

        Raises:
            BadCommand: as `note`.
        """
        self._write(here, f"freeze for {seconds:g} s", why, lambda builders: builders.freeze(here.name, seconds))

    def thaw(self, here: Here, why: str) -> bool:
        """Write it down, and let the builder have work again.

        Returns:
            Whether it got none until now, because of a freeze.

        Raises:
            BadCommand: as `note`.
        """
        frozen: list[bool] = []

        def change(builders: Builders) -> None:
            frozen.append(builders.get(here.name).frozen_until is not None)
            builders.thaw(here.name)

        self._write(here, "thaw", why, change)
        return frozen[0]

    def _write(self, here: Here, what: str, why: str, change: Callable[[Builders], object]) -> None:
        subject = f"builder:{here.name}" if here.kind == "builder" else f"actor:{here.name}"
        line = f"console: {what}" if len(what) <= _LONGEST else f"console: {what[:_LONGEST]}…"
        try:
            with self._farm() as farm, farm.acting(why, Action.CHANGE_FARM) as connection:
                self._check_farm(connection)
                events = Events(connection)
                events.because_of(events.note(subject, line))
                change(Builders(connection))
        except (StorageError, CommandError) as error:
            told = str(error).partition("\n")[0]
            raise BadCommand(f"not done, because it can't be written into the event log: {told}") from error

    def _check_farm(self, connection: Connection[Any]) -> None:
        if farm_id(connection) != self._farm_uuid:
            raise BadCommand(
                "not done: the database is another farm's than the actors, and so is its event log;"
                " name the state directory and the database of one farm"
            )

    def _farm(self) -> _Opened:
        return open_farm(typer.Context(TyperCommand("console"), obj=self._given))


if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    _Opened = AbstractContextManager[Farm]
