"""The host's own apt configuration: where this distribution's packages come from, and a private copy to fetch sources.

Reads apt's configuration and source lists wherever apt itself finds them (`apt-config`), in both formats, with proxies,
keyrings and mirror lists; takes only the lists of the distribution this machine runs.  Writes nothing outside the
directory it is given, and no mirror's name stands here.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from debian.deb822 import Deb822

from cli.errors import NotReachable

_ONE_LINE = re.compile(
    r"(?P<type>deb|deb-src)\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<rest>.*)"
)
#: one-line options have deb822 names of their own (sources.list(5)); these are the ones that aren't just capitalised
_OPTION_FIELDS = {"arch": "Architectures", "lang": "Languages", "target": "Targets", "pdiffs": "PDiffs"}
_HAS_OWN_SPELLING = {"pdiffs": "PDiffs", "by-hash": "By-Hash", "signed-by": "Signed-By"}

#: what is copied of the host's configuration: how to fetch and whom to trust; never its hooks
_KEPT = ("Acquire::", "APT::Architecture", "Dir::Etc::trusted", "Dir::Etc::netrc", "Dir::Bin::", "Dir::Media::")
_NOT_KEPT = ("Acquire::IndexTargets", "Acquire::Changelogs")


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One entry of the host's source lists, in deb822 fields without `Types`."""

    place: str  #: file and number, as apt names it in `indextargets`
    fields: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """Return a field's value, its lines kept; empty if it has none."""
        return next((value for key, value in self.fields if key.lower() == name.lower()), "")

    @property
    def uris(self) -> tuple[str, ...]:
        """Where it fetches from."""
        return tuple(self.get("URIs").split())

    @property
    def suites(self) -> tuple[str, ...]:
        """Suites or codenames."""
        return tuple(self.get("Suites").split())

    @property
    def components(self) -> tuple[str, ...]:
        """Components; none for a flat repository."""
        return tuple(self.get("Components").split())

    def having(self, **changes: str) -> SourceEntry:
        """Return a copy with fields that it has replaced."""
        new = {name.lower(): value for name, value in changes.items()}
        return replace(self, fields=tuple((key, new.get(key.lower(), value)) for key, value in self.fields))

    def stanza(self, types: str) -> str:
        """Return the entry as a deb822 stanza of `types`."""
        return f"Types: {types}\n" + "".join(f"{key}: {value}\n" for key, value in self.fields if value)


@dataclass(frozen=True, slots=True)
class Target:
    """One index of a source entry that apt has fetched."""

    place: str  #: as `SourceEntry.place`
    release: str  #: the suite, as the entry spells it
    origin: str
    codename: str


def distribution() -> str:
    """Return the name of the distribution this machine runs, as `debian`."""
    return _os_release().get("ID", "debian")


def codename() -> str:
    """Return the series this machine runs, as `bookworm`; empty if it does not say."""
    return _os_release().get("VERSION_CODENAME", "")


def architecture() -> str:
    """Return this machine's Debian architecture tag."""
    return run(["dpkg", "--print-architecture"]).strip()


def own_entries() -> tuple[SourceEntry, ...]:
    """Return the entries for binary packages of this machine's own distribution.

    An entry whose index apt has fetched is known by its Origin; while nothing was fetched yet, all that are not known
    to be somebody else's are returned, and `own_only` sorts them out later.

    Raises:
        NotReachable: apt has no entry of the distribution.
    """
    entries = [entry for entry in _entries() if entry.uris and entry.suites]
    own = own_only(entries, targets(config=None))
    if not own:
        where = _config_path("Dir::Etc::sourceparts")
        raise NotReachable(
            f"this machine's apt has no source of {distribution()} packages: see {where}, sources.list(5)"
        )
    return own


def own_only(entries: Iterable[SourceEntry], fetched: Iterable[Target]) -> tuple[SourceEntry, ...]:
    """Return the entries without the suites that are known to be another's than the distribution's."""
    foreign = {(target.place, target.release) for target in fetched if target.origin.lower() != distribution()}
    kept = (
        entry.having(Suites=" ".join(suite for suite in entry.suites if (entry.place, suite) not in foreign))
        for entry in entries
    )
    return tuple(entry for entry in kept if entry.suites)


def targets(config: Path | None, command: list[str] | None = None) -> tuple[Target, ...]:
    """Return what apt has fetched.

    Args:
        config: apt's configuration file; None: the host's own.
        command: how to run `apt-get indextargets`, if it needs a wrapping.
    """
    text = run(command or ["apt-get", "indextargets"], config=config, may_fail=True)
    stanzas = (Deb822(stanza) for stanza in text.split("\n\n") if stanza.strip())
    return tuple(
        Target(
            place=str(stanza.get("Sourcesentry", "")),
            release=str(stanza.get("Release", "")),
            origin=str(stanza.get("Origin", "")),
            codename=str(stanza.get("Codename", "")),
        )
        for stanza in stanzas
        if stanza.get("Origin")
    )


def settings() -> Iterator[tuple[str, str]]:
    """Yield the host's apt settings that concern fetching and trust, as key and value; hooks are left out."""
    for line in run(["apt-config", "dump", "--format", "%f\t%v%n"]).splitlines():
        key, _, value = line.partition("\t")
        if key.startswith(_KEPT) and not key.startswith(_NOT_KEPT) and value and '"' not in value:
            yield key, value


def run(command: list[str], *, config: Path | None = None, may_fail: bool = False) -> str:
    """Return what a short command prints.

    Args:
        command: argv.
        config: for `APT_CONFIG`; None leaves the environment alone.
        may_fail: an exit code is no error.

    Raises:
        NotReachable: it is not there, or failed.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **({"APT_CONFIG": str(config)} if config else {})}
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", env=environment)
    except OSError as error:
        raise NotReachable(
            f"can't run {command[0]}: {error.strerror}: sources by name need a Debian machine"
        ) from error
    if done.returncode != 0 and not may_fail:
        words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotReachable(f"{' '.join(command[:2])} failed on this machine: {words}")
    return done.stdout


def _os_release() -> dict[str, str]:
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        if path.is_file():
            pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
            return {name: value.strip("\"'") for name, _, value in pairs}
    return {}


def _config_path(item: str) -> Path:
    kind = "d" if item.endswith("parts") else "f"
    text = run(["apt-config", "shell", "where", f"{item}/{kind}"])
    return Path(text.strip().removeprefix("where=").strip("'"))


def _entries() -> Iterator[SourceEntry]:
    """Yield every enabled entry for binary packages of the host's source lists."""
    parts = _config_path("Dir::Etc::sourceparts")
    files = [_config_path("Dir::Etc::sourcelist")]
    if parts.is_dir():
        files += sorted(path for path in parts.iterdir() if path.suffix in {".list", ".sources"})
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        yield from _deb822_entries(path, text) if path.suffix == ".sources" else _one_line_entries(path, text)


def _deb822_entries(path: Path, text: str) -> Iterator[SourceEntry]:
    """Yield the stanzas of a `.sources` file; apt counts stanzas from 1."""
    without_comments = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    stanzas = [stanza for stanza in re.split(r"\n[ \t]*\n", without_comments) if stanza.strip()]
    for number, stanza in enumerate(stanzas, 1):
        fields = Deb822(stanza.strip("\n"))
        enabled = str(fields.get("Enabled", "yes")).strip().lower() not in {
            "no",
            "false",
            "0",
            "off",
            "without",
            "disable",
        }
        if enabled and "deb" in str(fields.get("Types", "")).split():
            kept = ((key, str(value)) for key, value in fields.items() if key.lower() not in {"types", "enabled"})
            yield SourceEntry(f"{path}:{number}", tuple(kept))


def _one_line_entries(path: Path, text: str) -> Iterator[SourceEntry]:
    """Yield the lines of a `.list` file; apt counts lines from 1."""
    for number, line in enumerate(text.split("\n"), 1):
        found = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if found is None or found["type"] != "deb":
            continue
        fields = [("URIs", found["uri"]), ("Suites", found["suite"]), ("Components", found["rest"].strip())]
        for option in (found["options"] or "").split():
            name, _, value = option.partition("=")
            name = name.rstrip("+-").lower()
            spelled = _OPTION_FIELDS.get(name) or _HAS_OWN_SPELLING.get(name) or name.title()
            fields.append((spelled, value.replace(",", " ")))
        yield SourceEntry(f"{path}:{number}", tuple(fields))
