"""The host's apt configuration is understood, and sources come through a private copy of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from cli.chroots.making import reachable
from cli.errors import BadInput, NotReachable
from cli.packages import host_apt
from cli.packages.private_apt import PrivateApt, entries_for
from cli.packages.source import read
from tests.fix_cli import write_source

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt")

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYBBAHaRw8BAQdA
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
"""

ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb [arch=amd64,i386 signed-by=/usr/share/keyrings/some.gpg by-hash=no] http://line.example/debian bookworm main # why
deb-src http://line.example/debian bookworm main
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the directory of a host's source lists, with an apt that reads no others."""
    etc = tmp_path / "host" / "etc"
    (etc / "sources.list.d").mkdir(parents=True)
    (tmp_path / "host" / "lists" / "partial").mkdir(parents=True)
    settings = {
        "Dir::Etc::sourcelist": etc / "sources.list",
        "Dir::Etc::sourceparts": etc / "sources.list.d",
        "Dir::Etc::parts": "/dev/null",
        "Dir::State::lists": tmp_path / "host" / "lists",
        "Acquire::http::Proxy": "http://proxy.example:3128",
        "APT::Update::Post-Invoke::": f"touch {tmp_path}/a-hook-ran",
    }
    config = tmp_path / "host" / "apt.conf"
    config.write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(config))
    return etc


def repository(directory: Path, origin: str, package: str, series: str = "bookworm") -> Path:
    """Make an archive of one source package, as apt reads it from a directory."""
    dsc = write_source(directory / "pool", package)
    files = "".join(
        f" {hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_size} {path.name}\n"
        for path in (dsc, dsc.with_name(f"{package}_1.0.tar.xz"))
    )
    index = directory / "dists" / series / "main" / "source" / "Sources"
    index.parent.mkdir(parents=True)
    index.write_text(
        f"Package: {package}\nBinary: {package}\nVersion: 1.0\nArchitecture: all\nFormat: 3.0 (native)\n"
        f"Directory: pool\nChecksums-Sha256:\n{files}"
    )
    digest = hashlib.sha256(index.read_bytes()).hexdigest()
    (directory / "dists" / series / "Release").write_text(
        f"Origin: {origin}\nSuite: stable\nCodename: {series}\nComponents: main\nArchitectures: amd64 source\n"
        f"SHA256:\n {digest} {index.stat().st_size} main/source/Sources\n"
    )
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def own_stanza(archive: Path) -> str:
    return f"Types: deb\nURIs: file:{archive}\nSuites: bookworm\nComponents: main\nTrusted: yes\n"


def test_deb822_entries_are_read_with_keys_inside(host: Path) -> None:
    (host / "sources.list.d" / "debian.sources").write_text(DEB822)
    (entry,) = host_apt.own_entries()
    assert (entry.uris, entry.suites, entry.components) == (
        ("http://mirror.example/debian",),
        ("bookworm", "bookworm-updates"),
        ("main", "contrib"),
    )
    assert entry.place == f"{host}/sources.list.d/debian.sources:1"
    stanza = entry.stanza("deb-src")
    assert stanza.startswith("Types: deb-src\n")
    assert "\n -----END PGP PUBLIC KEY BLOCK-----\n" in stanza


def test_one_line_entries_are_read_with_their_options(host: Path) -> None:
    (host / "sources.list").write_text(ONE_LINE)
    (entry,) = host_apt.own_entries()
    assert entry.place == f"{host}/sources.list:2"
    assert dict(entry.fields) == {
        "URIs": "http://line.example/debian",
        "Suites": "bookworm",
        "Components": "main",
        "Architectures": "amd64 i386",
        "Signed-By": "/usr/share/keyrings/some.gpg",
        "By-Hash": "no",
    }


def test_without_any_entry_the_person_is_told_where_to_look(host: Path) -> None:
    with pytest.raises(NotReachable, match=f"see {host}/sources.list.d"):
        host_apt.own_entries()


def test_settings_keep_the_proxy_and_drop_the_hooks(host: Path) -> None:
    settings = dict(host_apt.settings())
    assert settings["Acquire::http::Proxy"] == "http://proxy.example:3128"
    assert not [key for key in settings if "Invoke" in key]
    assert host.is_dir()


def test_suites_of_others_are_left_out() -> None:
    entry = host_apt.SourceEntry("list:1", (("URIs", "http://x"), ("Suites", "bookworm bookworm-backports")))
    other = host_apt.SourceEntry("list:2", (("URIs", "http://y"), ("Suites", "bookworm")))
    own = host_apt.distribution()
    fetched = [
        host_apt.Target("list:1", "bookworm", own.title(), "bookworm"),
        host_apt.Target("list:1", "bookworm-backports", "Somebody's Backports", "bookworm-backports"),
        host_apt.Target("list:2", "bookworm", "Somebody", "bookworm"),
    ]
    (kept,) = host_apt.own_only([entry, other], fetched)
    assert (kept.place, kept.suites) == ("list:1", ("bookworm",))


def test_a_series_takes_its_updates_and_security_along() -> None:
    main = host_apt.SourceEntry("l:1", (("URIs", "http://x"), ("Suites", "bookworm bookworm-updates trixie")))
    security = host_apt.SourceEntry("l:2", (("URIs", "http://s"), ("Suites", "bookworm-security")))
    assert [entry.suites for entry in entries_for((main, security), "bookworm")] == [
        ("bookworm", "bookworm-updates"),
        ("bookworm-security",),
    ]
    assert [entry.suites for entry in entries_for((main, security), "forky")] == [("forky",)]


def test_a_chroot_gets_the_mirrors_of_a_mirror_list(tmp_path: Path) -> None:
    listed = tmp_path / "mirrors.list"
    listed.write_text("# mirrors\nhttp://one.example/debian\tpriority:1\nhttp://two.example/debian\n\n")
    entry = host_apt.SourceEntry("l:1", (("URIs", f"mirror+file:{listed}"), ("Suites", "bookworm")))
    assert reachable(entry).uris == ("http://one.example/debian", "http://two.example/debian")
    with pytest.raises(NotReachable, match="which a chroot can't reach"):
        reachable(entry.having(URIs="file:/srv/mirror"))


def test_a_source_is_fetched_by_name_and_nothing_of_the_host_is_touched(host: Path, tmp_path: Path) -> None:
    archive = repository(tmp_path / "archive", host_apt.distribution().title(), "tiny")
    (host / "sources.list.d" / "own.sources").write_text(own_stanza(archive))
    for directory in (tmp_path, tmp_path.parent):
        directory.chmod(directory.stat().st_mode | stat.S_IXOTH)
    before = sorted(path.relative_to(tmp_path) for path in (tmp_path / "host").rglob("*"))
    apt = PrivateApt(tmp_path / "state" / "apt", "bookworm")
    (tmp_path / "state").mkdir(mode=0o700)
    apt.prepare()
    apt.update()
    with apt.source("tiny") as dsc:
        assert read(dsc).name == "tiny"
        assert dsc.is_relative_to(tmp_path / "state")
    assert not dsc.exists()
    with (
        pytest.raises(BadInput, match="no source package 'nosuch' in this machine's apt sources"),
        apt.source("nosuch"),
    ):
        pass
    assert sorted(path.relative_to(tmp_path) for path in (tmp_path / "host").rglob("*")) == before
    assert not (tmp_path / "a-hook-ran").exists()


def test_an_archive_of_somebody_else_is_found_out_after_the_first_update(host: Path, tmp_path: Path) -> None:
    own = repository(tmp_path / "own", host_apt.distribution().title(), "tiny")
    other = repository(tmp_path / "other", "Somebody", "foreign")
    (host / "sources.list.d" / "both.sources").write_text(f"{own_stanza(other)}\n{own_stanza(own)}")
    apt = PrivateApt(tmp_path / "apt", "bookworm")
    apt.prepare()
    apt.update()
    with apt.source("tiny") as dsc:
        assert dsc.exists()
    with pytest.raises(BadInput), apt.source("foreign"):
        pass


def test_a_mirror_that_is_not_there_is_named(host: Path, tmp_path: Path) -> None:
    (host / "sources.list.d" / "own.sources").write_text(own_stanza(tmp_path / "nowhere"))
    apt = PrivateApt(tmp_path / "apt", "bookworm")
    apt.prepare()
    with pytest.raises(NotReachable, match=r"apt-get update failed on this machine: .*nowhere"):
        apt.update()


@pytest.mark.parametrize("name", ["-oDir=x", "UPPER", "a b", "../x", "x;y", ""])
def test_what_is_no_package_name_never_reaches_apt(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="neither the name of a package"), PrivateApt(tmp_path, "bookworm").source(name):
        pass


def test_the_sandbox_user_owns_where_apt_downloads(host: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    archive = repository(tmp_path / "archive", host_apt.distribution().title(), "tiny")
    (host / "sources.list.d" / "own.sources").write_text(own_stanza(archive))
    apt = PrivateApt(tmp_path / "apt", "bookworm")
    apt.prepare()
    assert (tmp_path / "apt" / "lists" / "partial").stat().st_uid != 0
    assert 'APT::Sandbox::User "_apt";' in (tmp_path / "apt" / "apt.conf").read_text()
