"""Calls to the body of a POST, the body of an answer to a checked `Reply`: XML-RPC, read as a stranger's."""

from __future__ import annotations

from typing import Any, Final
from xmlrpc.client import Fault as XmlFault
from xmlrpc.client import Unmarshaller, dumps

from defusedxml.xmlrpc import DefusedExpatParser

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.launchpad_buildd.answers import Answered, Begun, Echoed, Fault, Fetched, Obeyed, Reply, SlaveStatus
from protocol.launchpad_buildd.calls import (
    AskInfo,
    AskStatus,
    Call,
    HaveAborted,
    HaveBuilt,
    HaveCleaned,
    HaveFetched,
    SayEcho,
)
from protocol.launchpad_buildd.fields import (
    SHA1,
    expect,
    read_array,
    read_flag,
    read_info,
    read_member,
    read_status,
    read_text,
)
from protocol.shapes import Misfit, fit_text

BODY_BYTES: Final = 1 << 20  #: of an answer; a `filemap` of 2,000 files is a third of it


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
                return Echoed(read_text(read_array(value, 1)[0]))
            case AskInfo():
                return read_info(value)
            case AskStatus():
                return read_status(value)
            case HaveFetched():
                there, text = read_array(value, 2)
                return Fetched(read_flag(there), fit_text(read_text(text)))
            case HaveBuilt():
                begun, text = read_array(value, 2)
                return Answered(read_member(Begun, begun), fit_text(read_text(text)))
            case HaveAborted():
                expect(SlaveStatus.ABORTING, value)
            case HaveCleaned():
                expect(SlaveStatus.IDLE, value)
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


def _our_sha1(sha1: str) -> str:
    if not SHA1.fullmatch(sha1):
        message = f"{sha1!r} is no SHA-1"
        raise LocalProtocolError(message)
    return sha1
