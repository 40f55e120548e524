"""apt with a configuration, lists and downloads of its own, all below one directory.

Fetches source packages by name through the host's own mirrors, proxies and keyrings (`cli.packages.host_apt`) without touching
the host's apt.  As root, apt drops its privileges to its sandbox user while it downloads; that user can't enter the
state directory, so the command gets a private mount namespace in which the directory lies at `_MOUNT_POINT`.
An ordinary user's apt keeps his rights, and needs none of that.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.errors import BadInput, NotReachable
from cli.packages import host_apt

_MOUNT_POINT = Path("/var/cache/apt")  #: there on every machine that has apt, and open to its sandbox user
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?:=[A-Za-z0-9.+~:-]+)?")
_STATUS = re.compile(r"(?:dl|pm)status:[^:]*:(?P<percent>[0-9.]+):(?P<text>.*)")
_BIND = 'mount --bind "$1" "$2" && cd "$3" && shift 3 && exec "$@"'
#: a view of its own, whose processes all die with the one that started it, however that ends
_VIEW = "unshare --mount --pid --fork --kill-child --mount-proc --propagation private sh -c"

Progress = Callable[[float, str], None]  #: percent, and what is being done


class PrivateApt:
    """apt below one directory, for the series of one distribution."""

    def __init__(self, directory: Path, series: str) -> None:
        """Describe it; nothing is written yet.

        Args:
            directory: its own; made as needed.
            series: whose sources are wanted, as `bookworm`.
        """
        self.directory = directory
        self.series = series
        self._inside = private_place(directory)

    def prepare(self) -> None:
        """Write configuration and source lists from the host's.

        Raises:
            NotReachable: the host has no apt, or no source of its own distribution.
        """
        for name in ("lists/partial", "archives/partial", "downloads", "state"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        self._give_to_sandbox(self.directory / "lists/partial", self.directory / "archives/partial")
        entries = host_apt.own_only(host_apt.own_entries(), self._fetched())
        self._write_sources(entries_for(entries, self.series))

    def update(self, progress: Progress = lambda _, __: None) -> None:
        """Bring the lists of sources up to date.

        Raises:
            NotReachable: a mirror does not answer and there are no lists from before, in apt's words.
        """
        self._apt(["update"], progress)
        mine = host_apt.own_only(self._entries, self._fetched())
        if mine != self._entries:
            self._write_sources(mine)
            self._apt(["update"], progress)

    @contextmanager
    def source(self, package: str, progress: Progress = lambda _, __: None) -> Iterator[Path]:
        """Fetch a source package and give the path of its `.dsc`; its files are gone after the block.

        Args:
            package: a source or binary package's name, perhaps with `=version`.
            progress: told what apt is doing.

        Raises:
            BadInput: there is no such package.
            NotReachable: it can't be fetched.
        """
        if not PACKAGE.fullmatch(package):
            raise BadInput(f"{package!r} is neither the name of a package nor an existing .dsc file")
        with tempfile.TemporaryDirectory(dir=self.directory / "downloads") as name:
            place = Path(name)
            self._give_to_sandbox(place)
            self._apt(
                ["source", "--download-only", "--", package], progress, where=self._inside / "downloads" / place.name
            )
            found = sorted(place.glob("*.dsc"))
            if not found:
                raise NotReachable(f"apt fetched no .dsc for {package}")
            yield found[0]

    def _apt(self, arguments: list[str], progress: Progress, where: Path | None = None) -> None:
        reading, writing = os.pipe()
        command = ["apt-get", "-q", "-o", f"APT::Status-Fd={writing}", *arguments]
        with open(reading, encoding="utf-8", errors="replace") as status:  # noqa: PTH123 - a descriptor
            try:
                child = subprocess.Popen(
                    in_private_view(self.directory, self._inside, command, where),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    pass_fds=(writing,),
                    env={**os.environ, "APT_CONFIG": str(self._inside / "apt.conf"), "LC_ALL": "C.UTF-8"},
                )
            except OSError as error:
                raise NotReachable(
                    f"can't run apt-get: {error.strerror}: packages by name need a Debian machine"
                ) from error
            finally:
                os.close(writing)
            with dying(child):
                for line in status:
                    found = _STATUS.match(line)
                    if found is not None:
                        progress(float(found["percent"]), found["text"].strip())
                _, words = child.communicate()
        if child.returncode != 0:
            raise self._fault(arguments, words)

    def _fault(self, arguments: list[str], words: str) -> BadInput | NotReachable:
        errors = [line[3:] for line in words.splitlines() if line.startswith("E: ")] or words.split("\n")[-1:]
        if any(text.startswith("Unable to find a source package") for text in errors) or (
            arguments[0] == "source" and any("was not found" in text or "not found" in text for text in errors)
        ):
            suites = ", ".join(sorted({suite for entry in self._entries for suite in entry.suites}))
            return BadInput(f"no source package {arguments[-1]!r} in this machine's apt sources ({suites})")
        return NotReachable(f"apt-get {arguments[0]} failed on this machine: {errors[0]}")

    def _write_sources(self, entries: tuple[host_apt.SourceEntry, ...]) -> None:
        """Write the source lists; stanzas keep the order of `entries`, which is how their targets are told apart."""
        listed = self._inside / "host.sources"
        self._entries = tuple(_placed(entry, f"{listed}:{number}") for number, entry in enumerate(entries, 1))
        (self.directory / "host.sources").write_text("\n".join(entry.stanza("deb-src") for entry in entries))
        own = {
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::sourcelist": str(listed),
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State": str(self._inside / "state"),
            "Dir::State::lists": str(self._inside / "lists"),
            "Dir::Cache": str(self._inside),
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Acquire::Languages": "none",
            "APT::Get::List-Cleanup": "true",
        }
        if os.geteuid() == 0:
            own["APT::Sandbox::User"] = _sandbox_user() if self._inside != self.directory else "root"
        lines = [f'{key} "{value}";\n' for key, value in [*host_apt.settings(), *own.items()]]
        (self.directory / "apt.conf").write_text("".join(lines))

    def _fetched(self) -> tuple[host_apt.Target, ...]:
        """Return what this apt has fetched before; nothing at its first use."""
        if not (self.directory / "apt.conf").exists():
            return ()
        command = in_private_view(self.directory, self._inside, ["apt-get", "indextargets"])
        return host_apt.targets(self._inside / "apt.conf", command)

    def _give_to_sandbox(self, *directories: Path) -> None:
        """Let apt's sandbox user write there."""
        if os.geteuid() == 0 and self._inside != self.directory:
            for directory in directories:
                os.chown(directory, pwd.getpwnam(_sandbox_user()).pw_uid, 0)
                directory.chmod(0o755)


def entries_for(entries: tuple[host_apt.SourceEntry, ...], series: str) -> tuple[host_apt.SourceEntry, ...]:
    """Return the entries that serve `series` with its updates and security, from the host's own.

    For a series that the host does not have, its first mirror is asked for it.
    """
    named = {series, *(f"{series}{rest}" for rest in ("-updates", "-security", "/updates"))}
    chosen = tuple(
        entry.having(Suites=" ".join(suite for suite in entry.suites if suite in named))
        for entry in entries
        if named & set(entry.suites)
    )
    if chosen:
        return chosen
    if series == host_apt.codename():
        return entries  # spelled otherwise there, as `stable`
    return tuple(entry.having(Suites=series) for entry in entries[:1])


def in_private_view(
    directory: Path, inside: Path, command: list[str], where: Path | None = None, entering: tuple[str, ...] = ()
) -> list[str]:
    """Return the argv that runs `command` where `directory` is seen as `inside`, in the directory `where`.

    `entering` makes an ordinary user root of a user namespace (`slave.isolation.subordinate_ids`).
    """
    if inside == directory:
        return command if where is None else ["env", f"--chdir={where}", *command]
    view = ["setpriv", "--pdeathsig", "KILL", *entering, *_VIEW.split()]
    return [*view, _BIND, "sh", str(directory), str(inside), str(where or inside), *command]


@contextmanager
def dying(child: subprocess.Popen[Any]) -> Iterator[None]:
    """Wait for a child at the end of the block; kill it if the block is left by Ctrl-C or an error.

    A child that leads a process group has all of it killed.
    """
    with child:
        try:
            yield
        except BaseException:  # ^C too: the child is not left running
            if os.getpgid(child.pid) == child.pid:
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
            raise


def private_place(directory: Path, entering: tuple[str, ...] = ()) -> Path:
    """Return where `directory` is to be seen by a command that drops its privileges; itself if that can't be."""
    return _MOUNT_POINT if _can_mount(entering) else directory


def _can_mount(entering: tuple[str, ...]) -> bool:
    """Return whether this process may make a private view: root of something, and not in a container that forbids it."""
    if not (entering or os.geteuid() == 0) or shutil.which("unshare") is None or not _MOUNT_POINT.is_dir():
        return False
    view = in_private_view(_MOUNT_POINT.parent, _MOUNT_POINT, ["true"], entering=entering)
    tried = subprocess.run(view, check=False, capture_output=True)
    return tried.returncode == 0


def _sandbox_user() -> str:
    name = host_apt.run(["apt-config", "shell", "name", "APT::Sandbox::User"]).strip().removeprefix("name=").strip("'")
    try:
        pwd.getpwnam(name)
    except KeyError:
        return "root"
    return name


def _placed(entry: host_apt.SourceEntry, place: str) -> host_apt.SourceEntry:
    return host_apt.SourceEntry(place, entry.fields)
