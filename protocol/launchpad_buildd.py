"""The XML-RPC dialect of launchpad-buildd without a connection: calls to bytes, bytes to answers that were checked.

    body = encode(AskStatus())                      # to be POSTed to `RPC`
    match decode(AskStatus(), answer): …            # a `Reply` of that call, or a `Fault`

Master's side only.  Never does I/O, never believes a field: sizes, types, names and digests are looked at one by one,
and a document type (which entities, and so bombs, come in) ends the reading.  `actors.core.launchpad.link` gives the
answers their meaning.  The source is the dialect's page and nothing else: no authentication, arrays for tuples, fault
8002 for every refusal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar
from xmlrpc.client import Fault as XmlFault
from xmlrpc.client import Unmarshaller, dumps

from defusedxml.xmlrpc import DefusedExpatParser

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.messages import WireOutcome
from protocol.shapes import NAME, NAME_BYTES, TAG, Misfit, brief, fit_text

RPC: Final = "/rpc"  #: path of all calls
LOG: Final = "/filecache/buildlog"  #: path of the log of the build that runs, or waits
PORT: Final = 8221
BODY_BYTES: Final = 1 << 20  #: of an answer; a `filemap` of 2,000 files is a third of it
LOGTAIL_BYTES: Final = 2048  #: in a status
DEPENDENCIES_BYTES: Final = 64 * 1024
MANAGERS: Final = 256  #: names in `info()`
FILES: Final = 4096  #: names in a `filemap`

_SHA1 = re.compile(r"[0-9a-f]{40}")
E = TypeVar("E", bound=StrEnum)


class SlaveStatus(StrEnum):
    """What the slave says it does."""

    IDLE = "BuilderStatus.IDLE"
    BUILDING = "BuilderStatus.BUILDING"
    ABORTING = "BuilderStatus.ABORTING"
    WAITING = "BuilderStatus.WAITING"


class Begun(StrEnum):
    """What `build()` came to."""

    BUILDING = "BuilderStatus.BUILDING"
    UNKNOWNBUILDER = "BuilderStatus.UNKNOWNBUILDER"  #: it has no such build manager
    UNKNOWNSUM = "BuilderStatus.UNKNOWNSUM"  #: a file is not in its cache; it stays IDLE


OUTCOMES: Final = {
    "BuildStatus.OK": WireOutcome.OK,
    "BuildStatus.PACKAGEFAIL": WireOutcome.PACKAGEFAIL,
    "BuildStatus.DEPFAIL": WireOutcome.DEPFAIL,
    "BuildStatus.CHROOTFAIL": WireOutcome.CHROOTFAIL,
    "BuildStatus.BUILDERFAIL": WireOutcome.BUILDERFAIL,
    "BuildStatus.GIVENBACK": WireOutcome.GIVENBACK,
    "BuildStatus.ABORTED": WireOutcome.ABORTED,
}
_WITH_FILES: Final = {WireOutcome.OK, WireOutcome.PACKAGEFAIL, WireOutcome.DEPFAIL}

# --- calls ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SayEcho:
    """`echo`: a probe."""

    text: str


@dataclass(frozen=True, slots=True)
class AskInfo:
    """`info`: what the slave is."""


@dataclass(frozen=True, slots=True)
class AskStatus:
    """`status`: what it does."""


@dataclass(frozen=True, slots=True)
class HaveFetched:
    """`ensurepresent`: the slave downloads what it lacks, and answers when that is done."""

    sha1: str
    url: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HaveBuilt:
    """`build`."""

    build_id: str
    manager: str
    chroot: str  #: SHA-1
    files: dict[str, str]  #: name → SHA-1
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HaveAborted:
    """`abort`: WAITING follows, by and by."""


@dataclass(frozen=True, slots=True)
class HaveCleaned:
    """`clean`: in WAITING only."""


Call = SayEcho | AskInfo | AskStatus | HaveFetched | HaveBuilt | HaveAborted | HaveCleaned

# --- answers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """The slave refused the call: 8002, whatever the reason, which stays in its own log; 8001: it knows no such call."""

    code: int
    text: str  #: one line


@dataclass(frozen=True, slots=True)
class Echoed:
    """Answer to `SayEcho`."""

    text: str


@dataclass(frozen=True, slots=True)
class Info:
    """Answer to `AskInfo`."""

    version: str
    architecture: str
    managers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """Answer to `AskStatus`."""

    status: SlaveStatus
    build_id: str = ""  #: empty: IDLE
    outcome: WireOutcome | None = None  #: present while WAITING
    files: tuple[tuple[str, str], ...] = ()  #: name, SHA-1
    dependencies: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Answer to `HaveFetched`."""

    there: bool
    text: str  #: one line


@dataclass(frozen=True, slots=True)
class Answered:
    """Answer to `HaveBuilt`."""

    begun: Begun
    text: str  #: the build's id, or why not; one line


@dataclass(frozen=True, slots=True)
class Obeyed:
    """Answer to `HaveAborted` and `HaveCleaned`."""


Reply = Fault | Echoed | Info | Said | Fetched | Answered | Obeyed


def encode(call: Call) -> bytes:
    """Return the body of a POST.

    Raises:
        LocalProtocolError: the slave would misunderstand it.
    """
    match call:
        case SayEcho(text):
            return _dump("echo", text)
        case AskInfo():
            return _dump("info")
        case AskStatus():
            return _dump("status")
        case HaveFetched(sha1, url, user, password):
            return _dump("ensurepresent", _our_sha1(sha1), url, user, password)
        case HaveBuilt():
            files = {name: _our_sha1(sha1) for name, sha1 in call.files.items()}
            if not any(name.endswith(".dsc") for name in files):
                message = "a build without a .dsc among its files: the slave would never come out of it"
                raise LocalProtocolError(message)
            return _dump("build", call.build_id, call.manager, _our_sha1(call.chroot), files, call.args)
        case HaveAborted():
            return _dump("abort")
        case HaveCleaned():
            return _dump("clean")


def decode(call: Call, body: bytes) -> Reply:
    """Return what `body` answers to `call`.

    Raises:
        RemoteProtocolError: it is no answer to that; names the field.
    """
    value = _load(body)
    if isinstance(value, Fault):
        return value
    try:
        match call:
            case SayEcho():
                return Echoed(_text(_array(value, 1)[0]))
            case AskInfo():
                return _info(value)
            case AskStatus():
                return _status(value)
            case HaveFetched():
                there, text = _array(value, 2)
                return Fetched(_flag(there), fit_text(_text(text)))
            case HaveBuilt():
                begun, text = _array(value, 2)
                return Answered(_member(Begun, begun), fit_text(_text(text)))
            case HaveAborted():
                _only(SlaveStatus.ABORTING, value)
            case HaveCleaned():
                _only(SlaveStatus.IDLE, value)
    except Misfit as misfit:
        message = f"the answer to {_NAMES[type(call)]}() is none: {misfit.path or 'it'}: {misfit.words}"
        raise RemoteProtocolError(message) from misfit
    return Obeyed()


_NAMES: Final = {
    SayEcho: "echo",
    AskInfo: "info",
    AskStatus: "status",
    HaveFetched: "ensurepresent",
    HaveBuilt: "build",
    HaveAborted: "abort",
    HaveCleaned: "clean",
}

# --- XML ------------------------------------------------------------------------------------------


def _dump(method: str, *arguments: Any) -> bytes:  # noqa: ANN401 - what XML-RPC knows
    try:
        return dumps(arguments, method, allow_none=True).encode()
    except (TypeError, OverflowError, UnicodeError) as error:
        message = f"{method}() can't be said so: {error}"
        raise LocalProtocolError(message) from error


def _load(body: bytes) -> object:
    """Return the one value of a response, or its `Fault`."""
    if len(body) > BODY_BYTES:
        message = f"an answer of more than {BODY_BYTES} bytes"
        raise RemoteProtocolError(message)
    reading = Unmarshaller(use_builtin_types=True)
    try:
        parser = DefusedExpatParser(reading, forbid_dtd=True)
        parser.feed(body)
        parser.close()
        values: object = reading.close()
        kind: object = reading.getmethodname()
    except XmlFault as fault:
        return _fault(fault)
    except Exception as error:  # the parser and its tables raise whatever a stranger's bytes lead them to
        message = f"the answer is no XML-RPC: {type(error).__name__}: {fit_text(str(error))[:200]}"
        raise RemoteProtocolError(message) from error
    if kind is not None or not isinstance(values, tuple) or len(values) != 1:
        message = "the answer is no XML-RPC response with one value"
        raise RemoteProtocolError(message)
    return values[0]


def _fault(fault: XmlFault) -> Fault:
    code, text = fault.faultCode, fault.faultString
    if type(code) is not int or not isinstance(text, str):
        message = "a fault without a number and a text"
        raise RemoteProtocolError(message)
    return Fault(code, fit_text(text)[:1000])


# --- fields ---------------------------------------------------------------------------------------


def _info(value: object) -> Info:
    version, architecture, managers = _array(value, 3)
    if not isinstance(managers, list) or len(managers) > MANAGERS:
        raise Misfit(f"{brief(managers)} is no list of build managers", "[2]")
    return Info(_word(version, "[0]"), _tag(architecture, "[1]"), tuple(_word(one, "[2]") for one in managers))


def _status(value: object) -> Said:
    if not isinstance(value, dict):
        raise Misfit(f"{brief(value)} is no struct")
    status = _member(SlaveStatus, value.get("builder_status"), "builder_status")
    if status is SlaveStatus.IDLE:
        return Said(status)
    build_id = _word(value.get("build_id"), "build_id")
    if "logtail" in value and not isinstance(value["logtail"], bytes):
        raise Misfit(f"{brief(value['logtail'])} is no base64", "logtail")
    if status is not SlaveStatus.WAITING:
        return Said(status, build_id)
    ended = value.get("build_status")
    outcome = OUTCOMES.get(ended) if isinstance(ended, str) else None
    if outcome is None:
        raise Misfit(f"{brief(ended)} is no end of a build", "build_status")
    if outcome not in _WITH_FILES:
        return Said(status, build_id, outcome)
    return Said(status, build_id, outcome, _filemap(value.get("filemap")), _dependencies(value.get("dependencies")))


def _filemap(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or len(value) > FILES:
        raise Misfit(f"{brief(value)} is no map of files", "filemap")
    files = []
    for name, sha1 in value.items():
        try:
            component = str(NAME.read(name))
        except Misfit as misfit:
            raise misfit.under("filemap") from None
        if not isinstance(sha1, str) or not _SHA1.fullmatch(sha1):
            raise Misfit(f"{brief(sha1)} is no SHA-1", f"filemap[{brief(name)}]")
        files.append((component, sha1))
    return tuple(sorted(files))


def _dependencies(value: object) -> str:
    if value is None:
        return ""
    text = _text(value, "dependencies")
    if len(text.encode()) > DEPENDENCIES_BYTES:
        raise Misfit(f"more than {DEPENDENCIES_BYTES} bytes", "dependencies")
    return text


def _array(value: object, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise Misfit(f"{brief(value)} is no array of {length}")
    return value


def _text(value: object, path: str = "") -> str:
    if not isinstance(value, str):
        raise Misfit(f"{brief(value)} is no string", path)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Misfit(f"{brief(value)} is no Unicode text", path) from None
    return value


def _word(value: object, path: str = "") -> str:
    """Take a short printable line that is not empty."""
    text = _text(value, path)
    if not text or len(text.encode()) > NAME_BYTES or not text.isprintable():
        raise Misfit(f"{brief(text)} is no short, printable text", path)
    return text


def _tag(value: object, path: str) -> str:
    try:
        return str(TAG.read(value))
    except Misfit as misfit:
        raise misfit.under(path) from None


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Misfit(f"{brief(value)} is no boolean")
    return value


def _member(kind: type[E], value: object, path: str = "") -> E:
    found = next((one for one in kind if one.value == value), None)
    if found is None:
        raise Misfit(f"{brief(value)} is none of {', '.join(kind)}", path)
    return found


def _only(expected: SlaveStatus, value: object) -> None:
    if value != expected.value:
        raise Misfit(f"{brief(value)} is not {expected}")


def _our_sha1(sha1: str) -> str:
    if not _SHA1.fullmatch(sha1):
        message = f"{sha1!r} is no SHA-1"
        raise LocalProtocolError(message)
    return sha1
