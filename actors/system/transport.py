"""The actor system on loopback, authenticated.

As it comes, Thespian 4.0.1 listens on every interface and unpickles whatever arrives.  `secure` binds it to loopback
and has every packet carry a keyed digest that is checked *before* anything is unpickled; whoever lacks the key is
answered with an error and the connection closed.  It also ties every process of the actor system to the life of the
process that forked it, keeps Thespian's own files out of the temporary directory, and raises limits that stall a big
farm (docs/adr/0060).

Call `secure` before the first `ActorSystem`; the key is inherited by fork.  Consoles read it from the key file.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import logging
import multiprocessing
import os
import pickle
import resource
import secrets
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

_ASIDE = logging.NullHandler()
# It looks this host's name up as it is loaded, and where that fails it warns in its own format, for good.  Our actors
# never leave loopback.
logging.getLogger().addHandler(_ASIDE)
from thespian.system import multiprocCommon, utilis  # noqa: E402
from thespian.system.transport import IPBase, TCPTransport, asyncTransportBase, streamBuffer  # noqa: E402

logging.getLogger().removeHandler(_ASIDE)

from actors.system import signs, transport_loop  # noqa: E402
from actors.system.ports import LOOPBACK  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_BYTES = 32
LARGEST_PACKET = 16 * 1024 * 1024  #: bytes; what all of a thousand builders' rows take, a hundred times over
PENDING_TRANSMITS = 4096  #: sends without acknowledgement; 20, the default, freeze an actor with many peers
LISTEN_DEPTH = 4096  #: backlog; with 100, a thousand actors that connect at once stall for good
_DIGEST_BYTES = 32
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LONGEST_HEADER = 40  #: bytes; Thespian writes the length of a packet, and `>`


class NotAuthentic(Exception):
    """A packet that was not made with the farm's key; it was not unpickled."""


class AuthenticPickle:
    """Stands in for the `pickle` module in Thespian's transport: `dumps` signs, `loads` verifies first."""

    def __init__(self, key: bytes) -> None:
        """Take the farm's key, `KEY_BYTES` long."""
        self._digest: Callable[[bytes], bytes] = lambda packet: hashlib.blake2b(
            packet, key=key, digest_size=_DIGEST_BYTES
        ).digest()

    def dumps(self, thing: object) -> bytes:
        """Return digest and pickle."""
        packet = pickle.dumps(thing, protocol=pickle.HIGHEST_PROTOCOL)
        return self._digest(packet) + packet

    def loads(self, packet: bytes) -> Any:  # noqa: ANN401 - whatever an actor sent
        """Unpickle what carries the right digest.

        Raises:
            NotAuthentic: it does not; nothing was unpickled.
        """
        digest, rest = packet[:_DIGEST_BYTES], packet[_DIGEST_BYTES:]
        if not hmac.compare_digest(digest, self._digest(rest)):
            message = "packet without the farm's digest"
            raise NotAuthentic(message)
        return pickle.loads(rest)  # noqa: S301 - made with our key


def write_key(file: Path) -> bytes:
    """Make a new key and put it into `file`, mode 0600."""
    key = secrets.token_bytes(KEY_BYTES)
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(key.hex() + "\n")
    new.replace(file)
    return key


def read_key(file: Path) -> bytes:
    """Return the key of a running farm.

    Raises:
        OSError: there is none, or it is not for us to read.
        ValueError: it is damaged.
    """
    key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    if len(key) != KEY_BYTES:
        message = f"{file}: {len(key)} bytes instead of {KEY_BYTES}"
        raise ValueError(message)
    return key


def raise_open_files() -> None:
    """Allow as many open files as the hard limit does: a farm of 1,000 builders needs 1,056 in one process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def secure(key: bytes) -> None:
    """Make every actor system of this process, and of those it forks, listen on loopback and authenticate.

    Idempotent; a later call changes the key.
    """
    os.environ["THESPIAN_BASE_IPADDR"] = LOOPBACK
    utilis.thesplog_control(logging.WARNING, useLogging=False, tmpFileMaxSize=0)
    asyncTransportBase.MAX_PENDING_TRANSMITS = PENDING_TRANSMITS
    _bind_to_loopback()
    serializer = AuthenticPickle(key)
    TCPTransport.serializer = serializer
    TCPTransport.LISTEN_DEPTH = LISTEN_DEPTH
    TCPTransport.ackMsg = streamBuffer.toSendBuffer(streamBuffer.ackPacket, serializer.dumps)
    TCPTransport.ackDataErrMsg = streamBuffer.toSendBuffer(streamBuffer.ackDataErrPacket, serializer.dumps)
    TCPTransport.ReceiveBuffer = _BoundedBuffer
    transport_loop.install()
    _die_with_parents()


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, so that none can outlive us unseen."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that forked it ends; at once, if it has ended already.

    Must run in the main thread of a forked process.  An orphan that an ancestor adopts on purpose (the actor system's
    admin, forked twice) counts as that ancestor's child.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    deadline = time.monotonic() + 5.0
    while os.getppid() != parent.pid and os.getppid() != 1 and time.monotonic() < deadline:
        time.sleep(0.001)  # the process in between is about to exit
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent.pid:
        os._exit(1)


def _bind_to_loopback() -> None:
    """Have addresses bind to loopback; the environment variable alone changes only what is told to others."""
    address = IPBase.IPActorAddress
    if hasattr(address, "bound_to_loopback"):
        return
    original = address.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Thespian is untyped
        original(self, *args, **kwargs)
        self.bindname = (LOOPBACK, self.bindname[1])

    address.__init__ = init
    address.bound_to_loopback = True


class _BoundedBuffer(streamBuffer.ReceiveBuffer):  # type: ignore[misc]  # Thespian is untyped
    """One packet being received: never larger than `LARGEST_PACKET`, and damaged rather than an exception.

    Thespian expects exceptions here only from senders' packets, not from what claims to be an acknowledgement: one
    there would end the actor.  A damaged packet is answered with an error, a damaged acknowledgement sent for again.
    """

    def addMore(self, buf: bytes) -> None:  # noqa: N802 - Thespian's name
        try:
            super().addMore(buf)
        except ValueError:
            self._damage()
        size: int | None = self._size
        if len(self._buf) > _LONGEST_HEADER if size is None else not 0 <= size <= LARGEST_PACKET:
            self._damage()

    def completed(self) -> tuple[object, bytes] | None:
        try:
            return cast("tuple[object, bytes] | None", super().completed())
        except NotAuthentic:
            return None

    def _damage(self) -> None:
        self._size, self._buf, self._extra = None, b"", b""
        self._blen = _LONGEST_HEADER + 1  # what the base takes for a packet that is over and corrupt


def _die_with_parents() -> None:
    """Have the admin, the logger and every actor killed by the kernel when the process that forked them ends."""
    if hasattr(multiprocCommon, "dies_with_parent"):
        return

    class Admin(multiprocCommon.MultiProcAdmin):  # type: ignore[misc]
        def __init__(self, *args: object, **kwargs: object) -> None:
            _leave_signals_to_the_root()
            die_with_parent()
            signs.born(signs.ADMIN)
            signs.reserve(signs.SUPERVISOR)
            super().__init__(*args, **kwargs)

    multiprocCommon.MultiProcAdmin = Admin
    multiprocCommon.startChild = partial(_run_dying, multiprocCommon.startChild, watched=True)
    multiprocCommon.startupASLogger = partial(_run_dying, multiprocCommon.startupASLogger, watched=False)
    multiprocCommon.dies_with_parent = True


def _run_dying(target: Callable[..., None], *args: object, watched: bool) -> None:
    _leave_signals_to_the_root()
    die_with_parent()
    signs.born(signs.reserved() if watched else None)
    target(*args)


def _leave_signals_to_the_root() -> None:
    """A signal to the whole process group is the root's to obey; it ends the others in order."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
