"""The process that tells people (`web.webhook`), as the farm's own keeps it: off, unless `webhook` is set."""

from __future__ import annotations

import logging

from actors.master.side_process import SideProcess
from actors.settings import Settings

log = logging.getLogger("buildd_master.actors.webhook")


class WebhookProcess:
    """The process, if there is somebody to tell."""

    def __init__(self) -> None:
        """Nobody is told yet."""
        self._process = SideProcess("buildd_master.webhook")
        self._told: dict[str, object] = {}

    @property
    def pid(self) -> int | None:
        """Return the process, ended or not; None: there is none."""
        return self._process.pid

    def take_up(self, settings: Settings, dsn: str) -> None:
        """Start, stop, or start anew by other settings."""
        told: dict[str, object] = {
            "database": dsn,
            "url": settings.webhook,
            "log_level": settings.log_level,
            "seconds": settings.timers.webhook_answer,
            "first_retry": settings.timers.webhook_retry,
            "retry_limit": settings.timers.webhook_retry_limit,
        }
        if told == self._told:
            return
        self._process.stop()
        self._told = told
        self._start()

    def keep(self) -> None:
        """Start the process again if it died."""
        code = self._process.ended()
        if code is not None:
            log.error("the process that tells the webhook had ended (exit code %s) and is started again", code)
        if code is not None or self.pid is None:
            self._start()

    def stop(self) -> None:
        """End the process."""
        self._process.stop()
        self._told = {}

    def _start(self) -> None:
        if not self._told.get("url"):
            return
        try:
            self._process.start(self._told)
        except OSError as error:  # of this machine: it is tried again, and builds go on meanwhile
            log.error("the process that tells the webhook can't be started: %s", error.strerror)  # noqa: TRY400
