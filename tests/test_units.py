"""The units of `systemd/`: sound to systemd, closed as far as they can be, and what they start runs in what they leave."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from host.unprivileged import command_as, ensure_user, give_directory, interpreter_paths
from tests.fix_journal import NotifySocket

TOP = Path(__file__).resolve().parent.parent
UNITS = {path.stem: path for path in (TOP / "systemd").glob("*.service")}
MODULES = {"buildd-master": "buildd_master", "buildd-slave": "buildd_master.slave"}  #: what a command of ours runs


def command_of(name: str) -> list[str]:
    """Return what the unit starts, run from this checkout."""
    (line,) = (line for line in UNITS[name].read_text().splitlines() if line.startswith("ExecStart="))
    program, *arguments = shlex.split(line.partition("=")[2])
    assert program == f"/usr/bin/{name}"
    return [sys.executable, "-P", "-m", MODULES[name], *(word for word in arguments if not word.startswith("$"))]


@pytest.mark.parametrize("name", sorted(UNITS))
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / f"{name}.service"
    unit.write_text(UNITS[name].read_text().replace(f"/usr/bin/{name}", str(program)))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


@pytest.mark.parametrize(("name", "exposure"), [("buildd-master", 12), ("buildd-slave", 66)])
def test_a_unit_is_no_more_exposed_than_it_was(name: str, exposure: int) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", f"--threshold={exposure}"]
    said = subprocess.run([*command, str(UNITS[name])], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("name", sorted(UNITS))
def test_a_unit_kills_its_group_and_notices_a_hang(name: str) -> None:
    lines = UNITS[name].read_text().splitlines()
    wanted = {"Type=notify", "KillMode=control-group", "LimitNOFILE=65536", "WatchdogSec=60", "OOMPolicy=continue"}
    assert wanted <= set(lines)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it away")
def test_the_master_runs_with_no_more_than_its_unit_leaves_it(tmp_path: Path) -> None:
    """Run as the unit's user, without privileges to gain, with a file system of which only the state can be written."""
    ensure_user()
    state = tmp_path / "s"
    give_directory(state, "buildd-master")
    farmer = pwd.getpwnam("buildd-master").pw_uid
    notify = tmp_path / "notify"
    with NotifySocket(notify) as systemd:
        os.chown(notify, farmer, -1)
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "STATE_DIRECTORY": str(state),
            "CONFIGURATION_DIRECTORY": str(tmp_path / "none"),
            "NOTIFY_SOCKET": str(notify),
            "WATCHDOG_USEC": "3000000",
            "PYTHONPATH": str(TOP),
            "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", ""),
        }
        closed = ["setpriv", "--no-new-privs", *command_of("buildd-master")]
        as_farmer = command_as(
            "buildd-master", closed, reach=(*interpreter_paths(), state, notify), die_with_parent=False
        )
        words = shlex.join(as_farmer)
        read_only = "mount --make-rprivate / && mount --bind {0} {0} && mount -o remount,bind,ro / && exec {1}"
        command = ["unshare", "--mount", "sh", "-c", read_only.format(shlex.quote(str(state)), words)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == f"READY 0 builders, state in {state}\n"
                assert systemd.ready() == ["READY=1", "STATUS=0 builders"]
                assert systemd.next() == ["WATCHDOG=1"]
                pid = json.loads((state / "run.json").read_text())["pid"]
                status = (Path("/proc") / str(pid) / "status").read_text()
                assert f"Uid:\t{farmer}\t{farmer}\t{farmer}\t{farmer}\n" in status
                assert "NoNewPrivs:\t1\n" in status
                os.kill(pid, signal.SIGHUP)
                systemd.wait_key("RELOADING")
                systemd.wait_line("READY=1")
            finally:
                process.terminate()
                assert process.wait(20) == 0
        systemd.wait_line("STOPPING=1")
