"""A thread that makes calls and downloads over HTTP, one after the other, each with a deadline of its own.

Beside an actor, never in it: what a slow or dead slave does to this thread the actor does not notice.  A lane is ended,
never waited for: its socket is shut down under it, and what it still says is of numbers that nobody knows any more.
Answers are read and checked here too (`protocol.launchpad_buildd`), since a large one takes its time.
"""

from __future__ import annotations

import base64
import os
import re
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import Any, Final
from urllib.parse import urlsplit

from actors.builder.timed_socket import TimedSocket
from actors.core.launchpad.events import (
    Download,
    Failed,
    FileEnded,
    FilesLookedAt,
    LookAtFiles,
    MakeCall,
    PieceCame,
    Replied,
)
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.launchpad_buildd.calls import RPC
from protocol.launchpad_buildd.codec import BODY_BYTES, decode, encode
from protocol.messages import CHUNK
from storage.files.credentials import FILES_HEADER

PIECES: Final = 8  #: of 256 KiB that may wait for the actor
_LOOK_SECONDS: Final = 5.0
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,18})")

News = Replied | PieceCame | FileEnded | Failed | FilesLookedAt
Work = MakeCall | Download | LookAtFiles


class Mailbox:
    """What lanes tell; its descriptor is readable while there is something."""

    def __init__(self) -> None:
        """Begin empty."""
        self._told: deque[News] = deque()
        self._lock = Lock()
        self._descriptor: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.room = Semaphore(PIECES)

    def fileno(self) -> int:
        """Return the descriptor to watch for readability."""
        assert self._descriptor is not None  # noqa: S101 - it is open as long as the link
        return self._descriptor

    def tell(self, news: News) -> None:
        """Put `news` in; from any thread."""
        with self._lock:
            if self._descriptor is not None:
                self._told.append(news)
                os.eventfd_write(self._descriptor, 1)

    def take(self, most: int) -> tuple[list[News], bool]:
        """Return what has been told, at most so many, and whether there is more."""
        with self._lock:
            if self._descriptor is not None and self._told:
                os.eventfd_read(self._descriptor)
            taken = [self._told.popleft() for _ in range(min(most, len(self._told)))]
            if self._told and self._descriptor is not None:
                os.eventfd_write(self._descriptor, 1)
            more = bool(self._told)
        for news in taken:
            if isinstance(news, PieceCame):
                self.room.release()
        return taken, more

    def close(self) -> None:
        """Take nothing more."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


class Lane:
    """One thread."""

    def __init__(self, host: str, port: int, mailbox: Mailbox) -> None:
        """Start it; it waits for work.

        Args:
            host: of the slave.
            port: of the slave.
            mailbox: takes what comes of the work.
        """
        self._place, self._mailbox = (host, port), mailbox
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._dropped: set[int] = set()
        self._doing = 0  # number of the work at hand
        self._socket: TimedSocket | None = None
        self._over = False
        self._lock = Lock()
        Thread(target=self._run, daemon=True, name=f"calls {host}:{port}").start()

    def do(self, work: Work) -> None:
        """Do this after all that was asked for before."""
        self._work.put(work)

    def drop(self, number: int) -> None:
        """Leave that undone, or give it up."""
        with self._lock:
            self._dropped.add(number)
            if self._doing == number and self._socket is not None:
                self._socket.cut()

    def end(self) -> None:
        """Do nothing more; the thread ends by itself."""
        with self._lock:
            self._over = True
            if self._socket is not None:
                self._socket.cut()
        self._work.put(None)

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            with self._lock:
                self._doing = work.number
                if self._over or work.number in self._dropped:
                    self._dropped.discard(work.number)
                    continue
            self._tell_of(work)
            with self._lock:
                self._doing = 0
                self._dropped.discard(work.number)

    def _tell_of(self, work: Work) -> None:
        at, number = time.monotonic(), work.number
        try:
            match work:
                case MakeCall():
                    self._mailbox.tell(Replied(at, number, self._called(work)))
                case Download():
                    self._download(work)
                case LookAtFiles():
                    self._mailbox.tell(FilesLookedAt(at, number, _looked(work)))
        except TimeoutError:
            self._mailbox.tell(Failed(at, number, "it did not answer in time", late=True))
        except (RemoteProtocolError, LocalProtocolError) as error:
            self._mailbox.tell(Failed(at, number, str(error), lied=isinstance(error, RemoteProtocolError)))
        except RemoteDisconnected:
            self._mailbox.tell(Failed(at, number, "the slave closed the connection"))
        except HTTPException as error:
            self._mailbox.tell(Failed(at, number, f"it does not speak HTTP: {type(error).__name__}", lied=True))
        except OSError as error:
            self._mailbox.tell(Failed(at, number, words_of(error)))
        except (ValueError, OverflowError) as error:  # numbers and headers that the library stumbles over
            self._mailbox.tell(Failed(at, number, f"it does not speak HTTP: {type(error).__name__}", lied=True))

    def _called(self, work: MakeCall) -> Any:  # noqa: ANN401 - a `Reply`
        body = encode(work.call)
        headers = {"Content-Type": "text/xml", "Accept-Encoding": "identity"}
        with self._answer("POST", RPC, body, headers, until=time.monotonic() + work.seconds) as answer:
            if answer.status != 200:  # noqa: PLR2004
                message = f"it answers a call with HTTP {answer.status}"
                raise RemoteProtocolError(message)
            said = answer.read(BODY_BYTES + 1)
            if len(said) <= BODY_BYTES and answer.length:
                raise RemoteDisconnected("")
        return decode(work.call, said)

    def _download(self, work: Download) -> None:
        wanted = {"Range": f"bytes={work.offset}-{work.offset + work.most - 1}", "Accept-Encoding": "identity"}
        with self._answer("GET", work.path, None, wanted, idle=work.idle_seconds) as answer:
            total, skipped = _total(answer), 0
            if answer.status == 206:  # noqa: PLR2004
                total = _range_of(answer, work.offset)
            elif answer.status == 200:  # noqa: PLR2004 - it knows no ranges
                skipped = work.offset
            elif answer.status not in {404, 416}:
                message = f"it answers a download with HTTP {answer.status}"
                raise RemoteProtocolError(message)
            if answer.status in {200, 206} and work.most:
                self._read(work, answer, skipped)
        there = answer.status != 404  # noqa: PLR2004
        self._mailbox.tell(FileEnded(time.monotonic(), work.number, there, total))

    def _read(self, work: Download, answer: HTTPResponse, skipped: int) -> None:
        left = work.most
        while left:
            piece = answer.read(min(CHUNK, skipped or left))
            if not piece:
                if answer.length:
                    raise RemoteDisconnected("")
                return
            if skipped:
                skipped -= len(piece)
                continue
            left -= len(piece)
            while not self._mailbox.room.acquire(timeout=0.2):  # the actor takes them as its disk does
                if self._over or work.number in self._dropped:
                    return
            self._mailbox.tell(PieceCame(time.monotonic(), work.number, piece))

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        *,
        until: float = float("inf"),
        idle: float = float("inf"),
    ) -> Iterator[HTTPResponse]:
        host, port = self._place
        first_until = min(until, time.monotonic() + idle)
        with closing(self._connected(host, port, first_until)) as ours, closing(HTTPConnection(host, port)) as http:
            ours.until, ours.idle = until, idle
            http.sock = ours
            http.request(method, path, body, headers)
            with closing(http.getresponse()) as answer:
                yield answer

    def _connected(self, host: str, port: int, until: float) -> TimedSocket:
        failure: OSError = OSError("no address")
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            ours = TimedSocket(family, kind)
            ours.until = until
            with self._lock:
                if self._over:
                    ours.close()
                    raise RemoteDisconnected("")
                self._socket = ours
            try:
                ours.limit()
                ours.connect(address)
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a host that is gone says nothing
                for option, seconds in ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
                    ours.setsockopt(socket.IPPROTO_TCP, option, seconds)
            except OSError as error:
                ours.close()
                failure = error
            else:
                return ours
        raise failure


def _looked(work: LookAtFiles) -> str:
    """Return why this master does not hand out the file; empty: it does."""
    parts = urlsplit(work.url)
    place = f"{parts.scheme}://{parts.netloc}"
    shown = base64.b64encode(f"{work.user}:{work.password}".encode()).decode()
    try:
        with closing(HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_LOOK_SECONDS)) as connection:
            connection.request("HEAD", parts.path, headers={"Authorization": f"Basic {shown}"})
            answer = connection.getresponse()
            if not answer.getheader(FILES_HEADER):
                return f"something else answers at {place}"
            return "" if answer.status == 200 else f"{place} answers {answer.status} {answer.reason}"  # noqa: PLR2004
    except (OSError, HTTPException) as error:
        words = words_of(error) if isinstance(error, OSError) else type(error).__name__
        return f"{place} does not answer: {words}"


def words_of(error: OSError) -> str:
    """Return what went wrong in words, as `connection refused`."""
    if isinstance(error, socket.gaierror):
        return f"its name can't be looked up: {error.strerror}"
    words = os.strerror(error.errno) if error.errno else str(error) or "the connection broke"
    return words[:1].lower() + words[1:]


def _total(answer: HTTPResponse) -> int | None:
    """Return how long the file is, as an answer that is no range says; None: it does not."""
    if answer.status == 416:  # noqa: PLR2004
        found = _UNSATISFIED.fullmatch(answer.getheader("Content-Range", ""))
        return int(found[1]) if found else None
    return answer.length


def _range_of(answer: HTTPResponse, offset: int) -> int:
    """Return how long the file is, of which a range from `offset` on came."""
    found = _RANGE.fullmatch(answer.getheader("Content-Range", ""))
    if found is None or int(found[1]) != offset:
        message = (
            f"it sends {answer.getheader('Content-Range', 'nothing')[:60]!r} where bytes from {offset} on were due"
        )
        raise RemoteProtocolError(message)
    return int(found[3])
