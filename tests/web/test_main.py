"""The server around the application: whoever keeps a place without a word loses it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from web import main


async def nothing(scope: MutableMapping[str, Any], receive: object, send: object) -> None:
    """Answer nobody."""
    del scope, receive, send


def test_a_peer_that_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "_CONNECTION_SECONDS", 0.05)
    monkeypatch.setattr(main, "_LOOK_SECONDS", 0.02)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(nothing, lifespan="off", ws="none", http="h11", log_config=None))
    serving = threading.Thread(target=lambda: asyncio.run(main.serve(server, listening)))
    serving.start()
    with socket.create_connection(listening.getsockname(), 20) as silent:
        silent.settimeout(20)
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b""
    server.should_exit = True
    serving.join(20)
    assert not serving.is_alive()
