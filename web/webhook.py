"""The process that tells people: reads the event log and posts what is worth it to the webhook; started by the farm's own.

    {"database": DSN, "url": URL, "log_level": "INFO", "seconds": 10.0, "first_retry": 5.0, "retry_limit": 600.0}

on stdin, because DSN and URL may hold a password.  It ends with the farm; when it crashes, the farm starts it again, and it goes
on where it stood.  Nothing of the farm waits for it.  What is told and when is decided in `actors.core.people.notices`
and `actors.core.people.telling`.
"""

from __future__ import annotations

import json
import logging
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final, assert_never

from psycopg import Connection

from actors.core.people.notices import COLUMNS, notice
from actors.core.people.receiver import read_receiver
from actors.core.people.settling import Horizon
from actors.core.people.telling import Delivered, GiveUp, Keep, Looked, Order, Post, Refused, Telling
from host.journal import log_to_journal_or_stderr
from storage.database.connection import CHANNEL, acting, connect, farm_id
from storage.database.repository import in_words
from storage.errors import DatabaseUnreachable
from storage.events.webhook import WebhookLog
from web.post import NotTaken, post

WHO: Final = "webhook"
_LOOK_SECONDS: Final = 30.0  #: between two looks, if nobody notifies
_AGAIN_SECONDS: Final = 1.0  #: before a database that is away is tried again; doubles
_AGAIN_LIMIT: Final = 30.0
_TABLES: Final = frozenset({"builder", "chroot", "farm"})

log = logging.getLogger("buildd_master.webhook")


def main() -> None:
    """Tell people until the farm ends us."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # when the farm's process is gone
    told = json.load(sys.stdin)
    log_to_journal_or_stderr("buildd-master", logging.WARNING)
    logging.getLogger("buildd_master").setLevel(told["log_level"])
    herald, again = Herald(told), _AGAIN_SECONDS
    while True:
        try:
            herald.serve()
        except DatabaseUnreachable as error:
            again = _AGAIN_SECONDS if herald.connected else min(again * 2, _AGAIN_LIMIT)
            log.warning("people can't be told for now: %s", error)
            time.sleep(again)


class Herald:
    """Tells one receiver what happens in one farm."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        """Know both, as they stand on stdin; nothing is opened."""
        self._dsn: str = told["database"]
        self._receiver = read_receiver(told["url"])
        self._seconds: float = told["seconds"]
        self._retries: dict[str, float] = {name: told[name] for name in ("first_retry", "retry_limit")}
        self._telling: Telling | None = None
        self._farm = ""
        self.connected = False

    def serve(self) -> None:
        """Tell what is new, as it comes.

        Raises:
            DatabaseUnreachable: call again; nothing that is written or known is lost.
        """
        self.connected = False
        with (
            closing(connect(self._dsn, application=f"{WHO} (listens)")) as listening,
            closing(connect(self._dsn, application=WHO)) as working,
        ):
            with in_words():
                listening.execute(f"LISTEN {CHANNEL}")
            self._farm = farm_id(working)
            telling = self._begin(working)
            self.connected = True
            while True:
                self._look(working, telling)
                _wait_changed(listening, telling.wait_seconds(time.monotonic(), _LOOK_SECONDS))

    def _begin(self, working: Connection[Any]) -> Telling:
        if self._telling is None:
            with acting(working, WHO):
                cursor, told = WebhookLog(working).begin()
            self._telling = Telling(cursor, set(told), **self._retries)
        else:
            self._obey(working, self._telling, self._telling.standing)
        return self._telling

    def _look(self, working: Connection[Any], telling: Telling) -> None:
        """Read what came, and tell it."""
        rows = WebhookLog(working)
        last, oldest, following, now = rows.horizon()  # before the events: see `actors.core.people.settling`
        events = rows.events(telling.cursor, COLUMNS)
        notices = tuple(one for event in events if (one := notice(event)) is not None)
        orders = list(telling.handle(Looked(Horizon(last, oldest, following), notices, now, time.monotonic())))
        while orders:
            orders += self._obey(working, telling, orders.pop(0))

    def _obey(self, working: Connection[Any], telling: Telling, order: Order) -> tuple[Order, ...]:
        match order:
            case Keep(cursor, told):
                with acting(working, WHO):
                    WebhookLog(working).keep(cursor, told)
            case GiveUp(one):
                log.error("%s took no word of this for a day, it is given up: %s", self._receiver, one.words)
            case Post(one):
                try:
                    post(self._receiver, one.document(self._farm), self._seconds)
                except NotTaken as error:
                    log.warning("%s is not told of %s, but later: %s", self._receiver, one.subject, error)
                    return telling.handle(Refused(one, time.monotonic()))
                log.info("%s was told: %s", self._receiver, one.words)
                return telling.handle(Delivered(one))
            case _:
                assert_never(order)
        return ()


def _wait_changed(listening: Connection[Any], seconds: float) -> None:
    """Wait until somebody changed a row that may be told of, or some seconds have passed."""
    end = time.monotonic() + seconds
    poll = select.poll()
    poll.register(listening.fileno(), select.POLLIN)
    changed = False
    while not changed and (left := end - time.monotonic()) > 0 and poll.poll(left * 1000):
        with in_words():
            listening.pgconn.consume_input()
        while (told := listening.pgconn.notifies()) is not None:
            changed |= json.loads(told.extra).get("table") in _TABLES


if __name__ == "__main__":
    main()
