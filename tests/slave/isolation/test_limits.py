"""Every limit is hit by a package that asks for it, ends the build with its own words, and leaves nothing running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocol.messages import WireOutcome
from slave.isolation import leftovers
from tests.fix_chroot import IN_BOTH_BACKENDS
from tests.fix_slaves import RealSlave, SlaveUnderContract
from tests.fix_sources import FOREVER, MakeSource
from tests.slave.building.test_chroot_builds import Done, build, processes

SLOW = pytest.mark.slow  # real chroots
#: No process is large, but all together are; each has an end, should nobody stop it.
FIVE_HOGS = f"for i in 1 2 3 4 5; do perl -e '$x = q(x) x (40 << 20); {FOREVER}' & done; wait"
#: 2 to the power of 7 processes at most.
FORK_BOMB = f"perl -e 'fork for 1..7; {FOREVER}'"
#: A file that can be seen, and as much again in one that can't.
DISK_EATER = f"head -c 8M /dev/zero > seen; exec 9>unseen; rm unseen; head -c 8M /dev/zero >&9; {FOREVER}"
DEAF_WRITER = (
    "perl -e '$SIG{XFSZ} = q(IGNORE); open $f, q(>), q(big); for (1..300) { syswrite $f, q(x) x 8192 or die $! }'"
)
TICKING = "while echo tick; do sleep 1; done"
ORIGINS = ("memory_bytes=archive", "processes=build")


IN_ITSELF = pytest.mark.parametrize(
    ("asks", "limits", "words"),
    [
        (
            FIVE_HOGS,
            {"memory_bytes": 128 << 20},
            "used more than 128 MiB of memory (limit: archive)",
        ),
        (
            FORK_BOMB,
            {"processes": 40},
            "ran more than 40 processes and threads at once (limit: build)",
        ),
        (
            "head -c 2M /dev/zero > big",
            {"file_bytes": 1 << 20},
            "wrote a file larger than 1 MiB (limit: settings)",
        ),
        (
            DEAF_WRITER,
            {"file_bytes": 1 << 20},
            "wrote a file larger than 1 MiB (limit: settings)",
        ),
        (
            f"yes 2>&1; {FOREVER}",
            {"log_bytes": 256 << 10},
            "printed more than 256 KiB (limit: settings)",
        ),
        (
            DISK_EATER,
            {"disk_bytes": 12 << 20},
            "took more than 12 MiB of disk (limit: settings)",
        ),
    ],
    ids=["memory", "processes", "file", "file refused", "log", "disk"],
)
IN_TIME = pytest.mark.parametrize(
    ("asks", "name", "words"),
    [(FOREVER, "silent_seconds", "printed nothing for"), (TICKING, "wall_seconds", "took longer than")],
    ids=["silence", "wall"],
)
Try = Callable[..., Done]


@pytest.fixture
def tried(chroot_slave: SlaveUnderContract, chroot_slave_process: RealSlave, source_package: MakeSource) -> Try:
    """Return what has a package built, and sees that nothing is left of the build."""

    def try_it(asks: str, **args: Any) -> Done:
        done = build(chroot_slave, source_package(build=asks), limits_from=ORIGINS, **args)
        state = chroot_slave_process.state_directory
        assert [*processes(FOREVER), *leftovers.marked(state), *leftovers.mounts(state)] == []
        chroot_slave.be_idle()
        return done

    return try_it


@SLOW
@IN_BOTH_BACKENDS
@IN_ITSELF
def test_a_build_that_passes_a_limit_is_killed_and_told_so(
    tried: Try, asks: str, limits: dict[str, int], words: str
) -> None:
    done = tried(asks, **limits)
    words = f"the build {words}; killed in BUILD"
    assert (done.status.outcome, done.status.text) == (WireOutcome.PACKAGEFAIL, words), done.log[-2000:]
    assert f"buildd-slave: PACKAGEFAIL: {words}" in done.log or "the log is cut here" in done.log


@SLOW
@IN_BOTH_BACKENDS
@IN_TIME
def test_a_build_that_takes_too_long_is_killed_and_told_so(tried: Try, asks: str, name: str, words: str) -> None:
    seconds = 4
    done = tried(asks, **{name: seconds})
    while seconds < 100 and "killed in BUILD" not in done.status.text:  # on a busy machine it is slow to come there
        seconds *= 4
        done = tried(asks, **{name: seconds})
    told = f"the build {words} {seconds} s (limit: settings); killed in BUILD"
    assert (done.status.outcome, done.status.text) == (WireOutcome.TIMEOUT, told), done.log[-2000:]


@SLOW
@IN_BOTH_BACKENDS
def test_a_build_within_all_of_its_limits_is_built(tried: Try) -> None:
    limits = {
        "silent_seconds": 600,
        "memory_bytes": 512 << 20,
        "processes": 100,
        "file_bytes": 4 << 20,
        "log_bytes": 4 << 20,
        "disk_bytes": 64 << 20,
    }
    modest = (
        "head -c 2M /dev/zero > some; perl -e '$x = q(x) x (40 << 20)'; for i in 1 2 3 4; do sleep 0.1 & done; wait"
    )
    done = tried(modest, **limits)
    assert done.status.outcome is WireOutcome.OK, done.log


# -- on the host, with no root of its own ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asks", "limits", "words"),
    [
        pytest.param(
            "perl -e '$x = q(x) x (200 << 20)'",
            {"memory_bytes": 128 << 20},
            "used more than 128 MiB of memory",
            marks=SLOW,
        ),
        ("head -c 8M /dev/zero > seen", {"disk_bytes": 4 << 20}, "took more than 4 MiB of disk"),
        pytest.param(FORK_BOMB, {"processes": 40}, "ran more than 40 processes and threads at once", marks=SLOW),
    ],
    ids=["memory", "disk", "processes"],
)
def test_a_limit_holds_on_the_host_too_and_for_what_is_over_in_a_moment(
    real_slave: SlaveUnderContract, source_package: MakeSource, asks: str, limits: dict[str, int], words: str
) -> None:
    real_slave.be_idle()
    done = build(real_slave, source_package(build=asks), limits_from=("memory_bytes=a", "disk_bytes=a"), **limits)
    real_slave.be_idle()
    assert done.status.outcome is WireOutcome.PACKAGEFAIL, done.log
    assert done.status.text.startswith(f"the build {words} (limit: ")
