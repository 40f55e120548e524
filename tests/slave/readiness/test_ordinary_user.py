"""What an ordinary user lacks is said in one line, with the one command that mends it; and a slave without it starts nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slave.isolation.subordinate_ids import Block, blocks, owned
from slave.readiness import ordinary_user
from slave.readiness.ordinary_user import Lack, line
from tests.fix_ordinary_user import OrdinaryUser
from tests.fix_slaves import CHECKOUT

ALICE = frozenset({"alice", "1000"})
ENOUGH = "alice:100000:65536\n"


def lack_of_ids(subuid: str, subgid: str) -> Lack | None:
    return ordinary_user.subordinate("alice", ALICE, subuid, subgid)


@pytest.mark.parametrize(
    ("subuid", "subgid", "mend"),
    [
        ("", "", "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 alice"),
        (ENOUGH, "", "usermod --add-subgids 165536-231071 alice"),
        ("", "bob:4294000:65536\n", "usermod --add-subuids 4359536-4425071 --add-subgids 4359536-4425071 alice"),
        ("bob:1:5\n", ENOUGH, "usermod --add-subuids 165536-231071 alice"),
        ("alice:100000:1000\n", ENOUGH, "usermod --add-subuids 165536-231071 alice"),
        ("alice:1:40000\nalice:50000:40000\n", ENOUGH, "usermod --add-subuids 165536-231071 alice"),
    ],
)
def test_who_has_too_few_subordinate_ids_gets_a_block_behind_everybody_else_s(
    subuid: str, subgid: str, mend: str
) -> None:
    lack = lack_of_ids(subuid, subgid)
    assert lack is not None
    assert lack.mend == mend


def test_what_is_missing_of_the_ids_is_named() -> None:
    none, some = lack_of_ids("", ENOUGH), lack_of_ids("alice:100000:1000\n", "1000:7:9\n")
    assert none is not None
    assert none.what == "alice needs subordinate user ids, and has none"
    assert some is not None
    assert some.what == (
        "alice needs subordinate user and group ids, and has no block of 65536 of them (the largest: 1000)"
    )


@pytest.mark.parametrize(
    "text", [ENOUGH, "1000:5:65536\n", "alice:5:9\n" + ENOUGH, "# a comment\nalice:x:1\n" + ENOUGH]
)
def test_a_block_that_is_large_enough_is_found_by_name_and_by_number(text: str) -> None:
    assert lack_of_ids(text, text) is None


def test_lines_that_are_no_blocks_are_left_out() -> None:
    text = "alice:1:2\nalice:\n:::\nalice:1:2:3\nalice:-1:5\nalice: 1:5\nalice:²:5\n\nbob:3:4\n"
    assert tuple(blocks(text)) == (Block("alice", 1, 2), Block("bob", 3, 4))
    assert owned(text, ALICE) == (Block("alice", 1, 2),)


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        (("newuidmap", "newgidmap"), "newuidmap and newgidmap are missing"),
        (("newgidmap",), "newgidmap is missing"),
    ],
)
def test_missing_programs_come_with_the_package_uidmap(missing: tuple[str, ...], what: str) -> None:
    assert ordinary_user.programs(lambda name: None if name in missing else f"/bin/{name}") == Lack(
        what, "apt-get install uidmap"
    )


def test_a_program_without_the_rights_of_root_is_named(tmp_path: Path) -> None:
    program = tmp_path / "newuidmap"
    program.touch(mode=0o755)

    def which(name: str) -> str:
        return str(tmp_path / name)

    assert ordinary_user.setuid(which) == Lack(f"{program} is not setuid root", f"chmod u+s {program}")
    for name in ("newuidmap", "newgidmap"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o4755)
    assert ordinary_user.setuid(which) is None


def test_a_process_that_may_gain_no_privileges_says_so() -> None:
    assert ordinary_user.new_privileges("Name:\tx\nNoNewPrivs:\t0\n") is None
    lack = ordinary_user.new_privileges("Name:\tx\nNoNewPrivs:\t1\n")
    assert lack is not None
    assert "NoNewPrivileges=no" in lack.what


@pytest.mark.parametrize(
    ("settings", "words", "mend"),
    [
        ({"kernel/unprivileged_userns_clone": "0"}, "EPERM", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ({"user/max_user_namespaces": "0"}, "ENOSPC", "sysctl -w user.max_user_namespaces=15000"),
        ({"user/max_net_namespaces": "0"}, "ENOSPC", "sysctl -w user.max_net_namespaces=15000"),
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            "EPERM",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ({}, "EPERM", "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined …"),
    ],
)
def test_what_forbids_user_namespaces_is_found(settings: dict[str, str], words: str, mend: str) -> None:
    lack = ordinary_user.namespaces(settings.get, lambda: words)
    assert lack is not None
    assert lack.mend == mend


@pytest.mark.parametrize("apparmor", ["0", "1"])
def test_where_a_user_namespace_can_be_made_nothing_forbids_it(apparmor: str) -> None:
    settings = {
        "kernel/unprivileged_userns_clone": "1",
        "user/max_user_namespaces": "9",
        "kernel/apparmor_restrict_unprivileged_userns": apparmor,  # but a profile allows it
    }
    assert ordinary_user.namespaces(settings.get, lambda: "") is None


def test_all_that_is_missing_makes_one_line_and_one_command() -> None:
    lacks = (Lack("a is missing", "get a"), Lack("b is off", "set b"))
    assert line(lacks) == "a is missing; b is off; as root, run: get a && set b"


# -- on this machine ---------------------------------------------------------------------------------------------------
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about other users, whom root makes")


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """Start a slave that can't start, as that user; return its words: one line, and no file was made."""

    def start(user: OrdinaryUser, *before: str) -> str:
        token = tmp_path / "token"
        token.write_text("secret")
        token.chmod(0o600)
        user.gets(tmp_path)
        slave = [sys.executable, "-m", "buildd_master.slave", "--listen", "127.0.0.1:0", "--token-file", str(token)]
        slave += ["--state-directory", str(tmp_path / "state")]
        ran = subprocess.run(
            [*before, *user.command(*slave, reach=tmp_path)], cwd=CHECKOUT, check=False, capture_output=True, text=True
        )
        assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1), ran.stderr
        assert list(tmp_path.iterdir()) == [token]
        return ran.stderr

    return start


@needs_root
def test_a_slave_of_who_has_no_subordinate_ids_says_what_an_administrator_runs(
    refusal: Callable[..., str], poor_user: OrdinaryUser
) -> None:
    said = refusal(poor_user)
    assert said.startswith(f"buildd-slave: {poor_user.name} needs subordinate user and group ids, and has none; ")
    mend = said.rstrip().partition("as root, run: ")[2].split()
    try:
        subprocess.run(mend, check=True)
        allowed = subprocess.run(
            poor_user.command(sys.executable, "-m", "slave.readiness.ordinary_user", "/", reach=CHECKOUT),
            cwd=CHECKOUT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert (allowed.returncode, allowed.stderr) == (0, "")
    finally:
        uids, gids = mend[2], mend[4]
        subprocess.run(["usermod", "--del-subuids", uids, "--del-subgids", gids, poor_user.name], check=True)


@needs_root
def test_a_slave_on_a_machine_without_newuidmap_says_which_package_it_needs(
    refusal: Callable[..., str], ordinary_user: OrdinaryUser
) -> None:
    hidden = 'for name in newuidmap newgidmap; do mount --bind "$0" "$(command -v $name)"; done; exec "$@"'
    said = refusal(ordinary_user, "unshare", "--mount", "sh", "-c", hidden, "/dev/null")
    assert said == "buildd-slave: newuidmap and newgidmap are missing; as root, run: apt-get install uidmap\n"


@needs_root
def test_a_slave_on_a_file_system_without_programs_says_which_one_it_is(
    refusal: Callable[..., str], ordinary_user: OrdinaryUser, tmp_path: Path
) -> None:
    mounted = 'mount --bind "$0" "$0" && mount -o remount,bind,noexec,nosuid,nodev "$0" && exec "$@"'
    said = refusal(ordinary_user, "unshare", "--mount", "sh", "-c", mounted, str(tmp_path))
    assert said.endswith(f"is mounted noexec; as root, run: mount -o remount,exec {tmp_path}\n")


@needs_root
def test_a_slave_that_may_gain_no_privileges_says_so(refusal: Callable[..., str], ordinary_user: OrdinaryUser) -> None:
    said = refusal(ordinary_user, "setpriv", "--no-new-privs")
    assert said.startswith("buildd-slave: this process may gain no privileges")
    assert said.endswith("as root, run: systemctl edit buildd-slave\n")


@needs_root
def test_a_slave_in_a_container_that_hides_parts_of_proc_says_how_it_must_be_started(
    refusal: Callable[..., str], ordinary_user: OrdinaryUser
) -> None:
    hiding = 'mount -t tmpfs none /proc/fs && exec "$@"'
    said = refusal(ordinary_user, "unshare", "--mount", "sh", "-c", hiding, "sh")
    assert said.startswith("buildd-slave: user namespaces are forbidden here, as in most containers (unshare: ")
    assert "as root, run: docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined" in said


@needs_root
def test_root_of_a_container_that_may_not_mount_is_told_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o600)
    slave = [sys.executable, "-m", "buildd_master.slave", "--listen", "127.0.0.1:0"]
    slave += ["--token-file", str(tmp_path / "token"), "--state-directory", str(tmp_path / "state")]
    contained = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    ran = subprocess.run([*contained, *slave], cwd=CHECKOUT, check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1), ran.stderr
    assert "in a container it takes CAP_SYS_ADMIN; --backend host takes none" in ran.stderr
