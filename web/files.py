"""Files for slaves that download, launchpad-buildd's: its own process, started as `web.main` is, with the same on stdin.

    GET /ATTEMPT/SHA256     by Basic authentication: ATTEMPT, and the password of it (`storage.files.credentials`)

What an attempt may have is its chroot and its source files, while it is open and within its time; everything else, and
every other name or password, is the same 401 or 404.  Plain HTTP, as these slaves speak it: the operator keeps it on
their private network.  An ASGI application without a framework, as `web.enrolment`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from uuid import UUID

import uvicorn

from host.journal import log_to_journal_or_stderr
from storage.database.connection import connect
from storage.errors import DatabaseUnreachable, StorageError
from storage.files.credentials import FILES_HEADER, fits, read_key
from storage.files.handed_out import HandedOut
from storage.files.librarian import Librarian
from web.enrolment import Receive, Scope, Send
from web.main import serve

log = logging.getLogger("buildd_master.web")

BLOCK: Final = 256 * 1024  #: bytes read and sent at a time
_SENT_SECONDS: Final = 60.0  #: a slave that does not take a block within this has gone (dispatch-rules §8)
_CONNECTIONS: Final = 1024  #: at a time: a farm of 1,000 builders may begin at once
_AWAY_SECONDS: Final = 10.0  #: a database that is away is waited for
_AGAIN_SECONDS: Final = 0.5  #: between two questions to it
_ASKING: Final = 8  #: questions to the database at a time
_LONGEST: Final = 6 * 3600.0  #: seconds of one download
_PATH = re.compile(r"/(?P<attempt>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<sha256>[0-9a-f]{64})")


class Files:
    """The application."""

    def __init__(self, dsn: str, state_directory: Path) -> None:
        """Know the farm.

        Raises:
            OSError: its key can't be read.
        """
        self._dsn = dsn
        self._key = read_key(state_directory)
        self._librarian = Librarian(state_directory / "librarian")
        self._turn = asyncio.Semaphore(_ASKING)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await _say(send, 405)
            return
        named = _PATH.fullmatch(scope["path"])
        shown = _credential(scope["headers"])
        if shown is None or not fits(self._key, *shown):
            await _say(send, 401, (b"www-authenticate", b'Basic realm="files of an attempt"'))
            return
        attempt, _ = shown
        if named is None or UUID(named["attempt"]) != attempt:
            await _say(send, 404)
            return
        try:
            found = await self._find(attempt, named["sha256"])
        except (StorageError, OSError) as error:
            log.warning("attempt %s asks for %s: %s", attempt, named["sha256"], error)
            await _say(send, 503)
            return
        if found is None:
            await _say(send, 404)
        else:
            await self._hand_out(send, *found, body=scope["method"] == "GET")

    async def _find(self, attempt: UUID, sha256: str) -> tuple[int, int] | None:
        """Do as `_open`; wait a little for a database that is away: to the slave a refusal is the end of its build."""
        last = asyncio.get_running_loop().time() + _AWAY_SECONDS
        while True:
            try:
                async with self._turn:
                    return await asyncio.to_thread(self._open, attempt, sha256)
            except DatabaseUnreachable:
                if asyncio.get_running_loop().time() > last:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)

    def _open(self, attempt: UUID, sha256: str) -> tuple[int, int] | None:
        """Return descriptor and size of a file that the attempt may have; None: it may not."""
        with connect(self._dsn, application="files") as connection:
            size = HandedOut(connection).size(attempt, sha256)
        if size is None:
            return None
        return os.open(self._librarian.path(sha256), os.O_RDONLY | os.O_CLOEXEC), size

    async def _hand_out(self, send: Send, descriptor: int, size: int, *, body: bool) -> None:
        try:
            kind = (b"content-type", b"application/octet-stream")
            headers = [kind, (b"content-length", str(size).encode()), *_HEADERS]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            at = 0
            while body and at < size:
                block = await asyncio.to_thread(os.pread, descriptor, BLOCK, at)
                if not block:
                    log.error("a file of %d bytes ends at byte %d: `buildd-master check` tells which", size, at)
                    return  # too short for its length: the slave notices
                at += len(block)
                async with asyncio.timeout(_SENT_SECONDS):
                    await send({"type": "http.response.body", "body": block, "more_body": at < size})
            if at == 0:
                await send({"type": "http.response.body", "body": b""})
        finally:
            os.close(descriptor)


_HEADERS: Final = ((FILES_HEADER.lower().encode(), b"files"), (b"connection", b"close"))


def _credential(headers: Iterable[tuple[bytes, bytes]]) -> tuple[UUID, str] | None:
    """Return the attempt and the password that are shown; None: nothing of the kind."""
    shown = [value for name, value in headers if name == b"authorization"]
    if len(shown) != 1 or not shown[0].lower().startswith(b"basic "):
        return None
    try:
        name, colon, word = base64.b64decode(shown[0][6:].strip(), validate=True).decode("ascii").partition(":")
        attempt = UUID(name)
    except (binascii.Error, ValueError):
        return None
    return (attempt, word) if colon and str(attempt) == name else None


async def _say(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", b"0")
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers, *_HEADERS]})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Serve until told to stop."""
    told = json.load(sys.stdin)
    log_to_journal_or_stderr("buildd-master", logging.WARNING)
    logging.getLogger("buildd_master").setLevel(told["log_level"])
    listening = socket.socket(fileno=told["descriptor"])
    config = uvicorn.Config(
        Files(told["database"], Path(told["state_directory"])),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    asyncio.run(serve(uvicorn.Server(config), listening, longest=_LONGEST))


if __name__ == "__main__":
    main()
