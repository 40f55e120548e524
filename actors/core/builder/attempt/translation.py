"""From the farm's words to the wire's: the one place where a build order becomes a `Build`."""

from __future__ import annotations

from protocol.messages import Arg, Build
from storage.limits import said
from storage.records import BuildOrder

_BARE = "host"  #: the backend that builds without a chroot


def needs_chroot(backend: str) -> bool:
    """Return whether a slave with this backend must be pushed a chroot."""
    return backend != _BARE


def wire_build(number: int, order: BuildOrder, backend: str) -> Build:
    """Return `order` as the request `number` to a slave with this backend."""
    args: dict[str, Arg] = {
        "dsc": order.dsc,
        "architecture": order.architecture,
        "arch_indep": order.arch_indep,
        "suite": order.suite,
        "trusted": order.trusted,
        "wall_seconds": int(order.wall_seconds),
        **said(order.limits),
    }
    if order.limits_from:
        args["limits_from"] = order.limits_from
    files = {file.filename: file.sha256 for file in order.files}
    chroot = order.chroot.sha256 if needs_chroot(backend) else ""
    return Build(number, str(order.attempt), order.build_type, chroot, files, args)


def log_name(order: BuildOrder) -> str:
    """Return the filename of the compressed log, as `hello_2.10-3_amd64.log.zst`."""
    return f"{order.source}_{order.version.rpartition(':')[2]}_{order.architecture}.log.zst"
