"""One POST of a JSON document to a receiver that may be anything: down, slow, hostile, or somewhere else by now.

Request and answer together have their time (only a name that is not found may take longer); redirects are not followed, the answer's body is not read, no proxy is asked.
"""

from __future__ import annotations

import base64
import http.client
import json
import signal
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from types import FrameType

from actors.core.people.receiver import Receiver


class NotTaken(Exception):
    """The receiver has not taken it; the text says why, without a secret."""


class _TooSlow(Exception):
    pass


def post(receiver: Receiver, document: Mapping[str, object], seconds: float) -> None:
    """Send `document`; return when the receiver has said that it has it (2xx).

    Only in the main thread of a process, whose timer it uses.

    Raises:
        NotTaken: it may have it all the same, if the answer was lost.
    """
    try:
        with _limited(seconds), closing(_connection(receiver, seconds)) as asking:
            asking.request("POST", receiver.target, json.dumps(document).encode(), _headers(receiver))
            status = asking.getresponse().status
    except (_TooSlow, TimeoutError):
        message = f"no answer within {seconds:g} s"
        raise NotTaken(message) from None
    except (OSError, http.client.HTTPException) as error:
        raise NotTaken(_in_words(error)) from None
    if 300 <= status < 400:  # noqa: PLR2004 - redirections
        message = f"it answers {status}: it wants us to go elsewhere, and redirects are not followed"
        raise NotTaken(message)
    if not 200 <= status < 300:  # noqa: PLR2004 - successes
        message = f"it answers {status} {http.client.responses.get(status, '')}".rstrip()
        raise NotTaken(message)


def _connection(receiver: Receiver, seconds: float) -> http.client.HTTPConnection:
    if receiver.scheme == "http":
        return http.client.HTTPConnection(receiver.host, receiver.port, timeout=seconds)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(receiver.host, receiver.port, timeout=seconds, context=context)


def _headers(receiver: Receiver) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": "buildd-master", "Connection": "close"}
    if receiver.user is not None:
        named = base64.b64encode(f"{receiver.user}:{receiver.password}".encode()).decode()
        headers["Authorization"] = f"Basic {named}"
    return headers


def _in_words(error: OSError | http.client.HTTPException) -> str:
    """Return what went wrong, in one line; a peer's own words may hold anything, and are left out."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate can't be believed: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"it does not speak HTTP as it should ({type(error).__name__})"


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Interrupt the block: a receiver that sends a byte now and then would never time out by itself."""

    def _over(_number: int, _frame: FrameType | None) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, _over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
