"""What mmdebstrap says on its terminal, and what is made of it."""

from __future__ import annotations

from cli.chroots.mmdebstrap import follow

#: as it was seen, on a terminal 80 columns wide
SAID = """\
\x1b[96mI: \x1b[0mchroot architecture amd64 is equal to the host's architecture
\x1b[96mI: \x1b[0mrunning apt-get update...
\x1b[2K              0.00 [                                                          ]
\x1b[2K             50.00 [=============================>                            ]
\x1b[2Kdone
\x1b[96mI: \x1b[0mdownloading packages with apt...
\x1b[2K            100.00 [==========================================================]
\x1b[2Kdone
\x1b[96mI: \x1b[0mextracting archives...
\x1b[96mI: \x1b[0minstalling essential packages...
\x1b[96mI: \x1b[0minstalling remaining packages inside the chroot...
\x1b[2Kinstalling:  25.33 [==============>                                            ]
\x1b[96mI: \x1b[0mcleaning package lists and apt cache...
\x1b[96mI: \x1b[0mcreating tarball...
\x1b[91mE: \x1b[0mrm failed"""


def test_the_share_that_is_done_rises_with_steps_and_percentages() -> None:
    told: list[tuple[str, float]] = []
    follow(iter(SAID.split("\n")), lambda _: None, lambda step, done: told.append((step, round(done, 2))))
    assert told[:4] == [
        ("running apt-get update", 0.0),
        ("running apt-get update", 0.0),
        ("running apt-get update", 0.04),
        ("downloading packages with apt", 0.08),
    ]
    assert [done for _, done in told] == sorted(done for _, done in told)
    assert told[-1] == ("creating tarball", 0.85)


def test_the_log_has_its_words_without_colours_and_percentages() -> None:
    log: list[str] = []
    follow(iter(SAID.split("\n")), log.append, lambda *_: None)
    assert log[:3] == [
        "I: chroot architecture amd64 is equal to the host's architecture\n",
        "I: running apt-get update...\n",
        "done\n",
    ]
    assert log[-1] == "E: rm failed\n"
    assert not any("[" in line for line in log)
