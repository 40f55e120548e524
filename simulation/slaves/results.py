"""What a simulated build leaves behind: a real, tiny `.deb` and the `.changes` file that lists it.

Made in memory, deterministic, without a single program of dpkg; `dpkg-deb` reads them, and so does the master.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile

_DSC = re.compile(r"(?P<source>[a-z0-9][a-z0-9.+-]*)_(?P<version>[^_/]+)\.dsc")


def identity(dsc: str, content: bytes | None) -> tuple[str, str]:
    """Return source and version of a source package.

    Args:
        dsc: filename of the `.dsc`; its version has no epoch, so `content` is looked at first.
        content: the `.dsc`, if the slave has it.
    """
    fields = dict(re.findall(r"^(Source|Version): *(\S+)", (content or b"").decode(errors="replace"), re.MULTILINE))
    named = _DSC.fullmatch(dsc)
    source, version = (str(named["source"]), str(named["version"])) if named else (dsc, "0")
    return fields.get("Source", source), fields.get("Version", version)


def built_package(source: str, version: str, architecture: str) -> dict[str, bytes]:
    """Return the results of a build of `source`, by filename: one `.deb` and its `.changes`."""
    in_names = version.partition(":")[2] or version
    stem = f"{source}_{in_names}_{architecture}"
    deb = tiny_deb(source, version, architecture)
    changes = "\n".join(
        (
            "Format: 1.8",
            "Date: Thu, 01 Jan 1970 00:00:00 +0000",
            f"Source: {source}",
            f"Binary: {source}",
            f"Architecture: {architecture}",
            f"Version: {version}",
            "Distribution: unstable",
            "Maintainer: Nobody <nobody@localhost>",
            "Checksums-Sha1:",
            f" {hashlib.sha1(deb, usedforsecurity=False).hexdigest()} {len(deb)} {stem}.deb",
            "Checksums-Sha256:",
            f" {hashlib.sha256(deb).hexdigest()} {len(deb)} {stem}.deb",
            "",
        )
    )
    return {f"{stem}.deb": deb, f"{stem}.changes": changes.encode()}


def tiny_deb(package: str, version: str, architecture: str) -> bytes:
    """Return a binary package with nothing in it."""
    control = (
        f"Package: {package}\nVersion: {version}\nArchitecture: {architecture}\n"
        "Maintainer: Nobody <nobody@localhost>\nDescription: result of a simulated build\n"
    )
    members = (
        ("debian-binary", b"2.0\n"),
        ("control.tar", _tar({"./control": control.encode()})),
        ("data.tar", _tar({})),
    )
    return b"!<arch>\n" + b"".join(_member(name, content) for name, content in members)


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        top = tarfile.TarInfo("./")
        top.type, top.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(top)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
    return header.encode() + content + b"\n" * (len(content) % 2)
