"""A build order in the words of launchpad-buildd, and what must be looked at before it is sent.

Part of `actors.core.launchpad.link`.  The slave refuses without a reason, or wedges, or fails the package much later
for what could have been seen before: so it is seen before.  Pure; the answers are words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from debian.deb822 import Dsc

from protocol.launchpad_buildd.calls import HaveBuilt
from storage.records import BuildOrder

DSC_LIMIT: Final = 1 << 20  #: bytes of a `.dsc` that are read

_BUILD_ID = re.compile(
    r"(?P<attempt>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(?P<epoch>[0-9]{1,19})-(?P<farm>[0-9a-f]{8})"
)


@dataclass(frozen=True, slots=True)
class BuildId:
    """All that the slave echoes of a build: whose it is, which attempt, and begun in which session.

    With the session's epoch no id is ever used twice, so that no left-over directory of one can wedge a slave.
    """

    attempt: str
    epoch: int
    farm: str  #: the first digits of its UUID

    def __str__(self) -> str:
        """Return it as it is sent."""
        return f"{self.attempt}-{self.epoch}-{self.farm}"


def build_id(attempt: str, epoch: int, farm: str) -> BuildId:
    """Return the id of a build of `attempt`, ordered in the session `epoch` by the farm with that UUID."""
    return BuildId(attempt, epoch, farm[:8])


def read_build_id(text: str, farm: str) -> BuildId | None:
    """Return what a slave echoes; None if it is no build of this farm."""
    found = _BUILD_ID.fullmatch(text)
    if found is None or found["farm"] != farm[:8]:
        return None
    return BuildId(found["attempt"], int(found["epoch"]), found["farm"])


def objection(order: BuildOrder, dsc: bytes | None) -> str:
    """Return why the slave could only fail with this order's files; empty if nothing is known against them.

    Args:
        order: what is to be built.
        dsc: content of the `.dsc`; None: it could not be read.
    """
    names = {file.filename for file in order.files}
    if order.dsc not in names or not order.dsc.endswith(".dsc"):
        return "there is no .dsc among the files of the source: submit it again"
    if dsc is None:
        return ""
    try:
        listed = {str(line["name"]) for line in Dsc(dsc.decode()).get("Files", ())}
    except (KeyError, ValueError, TypeError, AttributeError, UnicodeError) as error:
        return f"{order.dsc} can't be read: {type(error).__name__}"
    missing = sorted(listed - names)
    return (
        f"{order.dsc} names {missing[0]}, which is not among the files of the source: submit it again"
        if missing
        else ""
    )


def have_built(order: BuildOrder, its_id: BuildId) -> HaveBuilt:
    """Return the call."""
    args: dict[str, Any] = {
        "series": order.suite,
        "suite": order.suite,
        "ogrecomponent": order.component,
        "arch_tag": order.architecture,
        "arch_indep": order.arch_indep,
        "archive_purpose": order.purpose.value,
        "archive_private": order.private,
        "build_debug_symbols": False,
    }
    if order.apt_sources:
        args["archives"] = list(order.apt_sources)
    files = {file.filename: file.sha1 for file in order.files}
    return HaveBuilt(str(its_id), order.build_type, order.chroot.sha1, files, args)


def scrub(data: bytes, secrets: tuple[bytes, ...], *, last: bool) -> tuple[bytes, bytes]:
    """Return `data` with every secret in it blotted out, as long as it was, and what must be seen together with more.

    Args:
        data: bytes of a log.
        secrets: what nobody may read; none is empty.
        last: no more will come: nothing is held back.
    """
    for secret in secrets:
        data = data.replace(secret, b"*" * len(secret))
    if last:
        return data, b""
    held = max((_beginning(data, secret) for secret in secrets), default=0)
    return (data[:-held], data[-held:]) if held else (data, b"")


def _beginning(data: bytes, secret: bytes) -> int:
    """Return how many bytes at the end of `data` may be the beginning of `secret`."""
    return next((size for size in range(min(len(secret) - 1, len(data)), 0, -1) if data.endswith(secret[:size])), 0)
