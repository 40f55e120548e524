"""The process that serves: started by the farm's own, which gives it a listening socket and, on stdin, what it must know.

    {"database": DSN, "state_directory": DIR, "descriptor": 7, "log_level": "INFO"}

On stdin, because a DSN may hold a password.  It ends with the farm; when it crashes, the farm starts it again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import sys
from pathlib import Path
from typing import Final

import uvicorn

from certificates.files import CertificateFiles, NoCertificate
from host.journal import log_to_journal_or_stderr
from web.enrolment import Enrolment

_CONNECTIONS: Final = 64  #: at a time
_CONNECTION_SECONDS: Final = 30.0  #: of one connection, whatever it does
_LOOK_SECONDS: Final = 5.0

log = logging.getLogger("buildd_master.web")


def main() -> None:
    """Serve until told to stop."""
    told = json.load(sys.stdin)
    log_to_journal_or_stderr("buildd-master", logging.WARNING)
    logging.getLogger("buildd_master").setLevel(told["log_level"])
    state_directory = Path(told["state_directory"])
    listening = socket.socket(fileno=told["descriptor"])
    try:
        context = server_context(state_directory / "tls")
    except NoCertificate as error:
        raise SystemExit(f"buildd-master: enrolment is not served: {error}") from None
    config = uvicorn.Config(
        Enrolment(told["database"], state_directory),
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
        ssl_context_factory=lambda _config, _default: context,
    )
    asyncio.run(serve(uvicorn.Server(config), listening))


async def serve(server: uvicorn.Server, listening: socket.socket, *, longest: float | None = None) -> None:
    """Serve on a socket that listens.

    Args:
        server: with its application.
        listening: the socket.
        longest: seconds that an answer may take; None: no longer than any connection.
    """
    cutting = asyncio.create_task(_cut_off(server, longest))
    await server.serve(sockets=[listening])
    cutting.cancel()


async def _cut_off(server: uvicorn.Server, longest: float | None) -> None:
    """Close connections that are too old: a peer that says nothing would keep its place for ever."""
    began: dict[int, float] = {}
    while True:
        now = asyncio.get_running_loop().time()
        there = {id(one): one for one in server.server_state.connections}
        began = {key: began.get(key, now) for key in there}
        for key, since in began.items():
            transport = getattr(there[key], "transport", None)
            answer = getattr(there[key], "cycle", None)
            answering = longest is not None and answer is not None and not answer.response_complete
            allowed = longest if longest is not None and answering else _CONNECTION_SECONDS
            if now - since > allowed and transport is not None:
                transport.abort()
        await asyncio.sleep(_LOOK_SECONDS)


def server_context(directory: Path) -> ssl.SSLContext:
    """Return how we speak: as the master, to whoever comes; every connection looks whether the certificate is renewed.

    Raises:
        NoCertificate: the master has none yet.
    """
    files = CertificateFiles(directory, server=True)
    first = files.context()

    def _renewed(speaking: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        try:
            speaking.context = _anybody(files.context())
        except NoCertificate as error:
            log.warning("the renewed certificate can't be used: %s", error)

    _anybody(first).sni_callback = _renewed
    return first


def _anybody(context: ssl.SSLContext) -> ssl.SSLContext:
    """Ask for no certificate: who enrols has none yet."""
    context.verify_mode = ssl.CERT_NONE
    return context


if __name__ == "__main__":
    main()
