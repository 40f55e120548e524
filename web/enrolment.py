"""The enrolment endpoint: a slave shows its one-time token and gets a certificate.

    GET  /ca      the authority's certificate, PEM: a slave compares it with the fingerprint in its token
    POST /enroll  {"secret": "…", "request": "CSR, PEM"} → {"certificate": "PEM"}; else {"error": "in words"}

An ASGI application without a framework: two paths, read from anybody on the network.  Bodies, times and what is done at
once are limited, and whatever comes in, the answer is one of those here.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from certificates.making import REQUEST_BYTES, BadRequest
from certificates.token import secret_hash
from storage.access.authority import FarmAuthority
from storage.access.certificates import Certificates
from storage.database.connection import acting, connect
from storage.errors import EnrolmentRefused, StorageError

log = logging.getLogger("buildd_master.web")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_BYTES: Final = REQUEST_BYTES + 1024
BODY_SECONDS: Final = 10.0
_AT_ONCE: Final = 2  #: enrolments; the rest wait, or are turned away by the server
WHO: Final = "enrolment"  #: who, in the event log


class Enrolment:
    """The application."""

    def __init__(self, dsn: str, state_directory: Path) -> None:
        """Know the farm; nothing is opened."""
        self._dsn = dsn
        self._state_directory = state_directory
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        match scope["method"], scope["path"]:
            case "GET", "/ca":
                pem = await asyncio.to_thread((self._state_directory / "tls" / "ca.crt").read_bytes)
                await _answer(send, 200, pem, "application/x-pem-file")
            case "POST", "/enroll":
                status, told = await self._enroll(scope, receive)
                await _answer(send, status, json.dumps(told).encode(), "application/json")
            case _:
                await _answer(send, 404, b'{"error": "there is GET /ca and POST /enroll"}', "application/json")

    async def _enroll(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, str]]:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            return 408, {"error": f"the request took longer than {BODY_SECONDS:g} s"}
        try:
            said = json.loads(body if body is not None else b"")
            secret, request = bytes.fromhex(said["secret"]), str(said["request"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return 400, {"error": f"not a request to enrol: JSON with secret and request, {BODY_BYTES} bytes at most"}
        client = scope.get("client") or ("somebody",)
        async with self._turn:
            return await asyncio.to_thread(self._issue, secret, request, str(client[0]))

    def _issue(self, secret: bytes, request: str, host: str) -> tuple[int, dict[str, str]]:
        """Use the token up and issue, in one transaction: what fails leaves the token as it was."""
        try:
            with (
                connect(self._dsn, application=WHO) as connection,
                acting(connection, WHO, f"a slave at {host} enrolled") as conn,
            ):
                builder = Certificates(conn).use_token(secret_hash(secret))
                issued = FarmAuthority(conn, self._state_directory, datetime.now(UTC)).issue(builder, request)
        except EnrolmentRefused as refused:
            log.warning("a slave at %s did not enrol: %s", host, refused)
            return 403, {"error": str(refused)}
        except BadRequest as refused:
            return 400, {"error": str(refused)}
        except StorageError as error:
            log.error("a slave at %s could not enrol: %s", host, error)  # noqa: TRY400 - its words tell
            return 503, {"error": "the farm can't issue certificates now: see the master's log"}
        log.info("a slave at %s enrolled as %s, serial %s", host, builder, issued.shown.serial)
        return 200, {"certificate": issued.pem}


async def _body(receive: Receive) -> bytes | None:
    """Return the body; None if it is too long, or the client has gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _answer(send: Send, status: int, content: bytes, kind: str) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": content})
