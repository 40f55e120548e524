"""Which archive and series a submission means: `actors.core.sources.places`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from actors.core.people.roles import Caller
from actors.core.sources.making import Refused
from actors.core.sources.places import Places, Wish, choose
from storage.records import Archive, ArchivePurpose, Chroot, DistroArchSeries, Limits, Pocket, SeriesStatus

OPERATOR = Caller("root")
SERIES = (
    ("debian", "bookworm", "amd64"),
    ("debian", "bookworm", "i386"),
    ("debian", "trixie", "amd64"),
    ("debian", "sid", "amd64"),
    ("ubuntu", "hoary", "i386"),
    ("ubuntu", "trixie", "i386"),
)
CHROOTS = (
    "debian/bookworm/amd64",
    "debian/trixie/amd64",
    "ubuntu/hoary/i386",
    "ubuntu/trixie/i386",
)
ARCHIVES = (
    ("debian", "primary"),
    ("ubuntu", "primary"),
    ("ubuntu", "cprov/ppa"),
    ("ubuntu", "debian/primary"),
)


def arch(number: int, distribution: str, series: str, tag: str) -> DistroArchSeries:
    return DistroArchSeries(number, distribution, series, tag, tag, nominated_archindep=tag == "amd64")


def archive(number: int, distribution: str, name: str) -> Archive:
    purpose = ArchivePurpose.PPA if "/" in name else ArchivePurpose.PRIMARY
    owner = name.partition("/")[0] if "/" in name else None
    return Archive(number, name, distribution, purpose, owner, False, True, 0, Limits())


def chroot(name: str, pocket: Pocket = Pocket.RELEASE) -> Chroot:
    return Chroot(name, pocket, "chroot.tar", "0" * 64, 1, datetime.now(UTC))


def chosen(wish: Wish, chroots: tuple[str, ...] = CHROOTS, **status: SeriesStatus) -> Places | Refused:
    every = [arch(number, *names) for number, names in enumerate(SERIES)]
    every = [replace(one, status=status.get(one.series, one.status)) for one in every]
    archives = [archive(number, *names) for number, names in enumerate(ARCHIVES)]
    return choose(wish, every, [chroot(one) for one in chroots], archives, OPERATOR)


def names(wish: Wish, chroots: tuple[str, ...] = CHROOTS) -> tuple[str, ...]:
    places = chosen(wish, chroots)
    assert isinstance(places, Places), places
    return (f"{places.archive.distribution}/{places.archive.name}", *places.names)


def refusal(wish: Wish, chroots: tuple[str, ...] = CHROOTS) -> str:
    refused = chosen(wish, chroots)
    assert isinstance(refused, Refused), refused
    return refused.text


def test_without_a_word_the_only_series_with_a_chroot_is_meant() -> None:
    assert names(Wish("primary"), ("ubuntu/hoary/i386",)) == ("ubuntu/primary", "ubuntu/hoary")
    assert "say --series with one of: debian/bookworm, debian/trixie" in refusal(Wish("primary"))


def test_several_series_may_be_named_each_once() -> None:
    wish = Wish("primary", ("debian/trixie", "bookworm", "debian/bookworm"))
    assert names(wish) == ("debian/primary", "debian/trixie", "debian/bookworm")


def test_all_are_the_series_of_the_distribution_that_have_a_chroot() -> None:
    assert names(Wish("primary", ("debian/all",))) == ("debian/primary", "debian/bookworm", "debian/trixie")
    assert names(Wish("debian/primary", ("all",))) == ("debian/primary", "debian/bookworm", "debian/trixie")
    places = chosen(Wish("cprov/ppa", ("all",)))
    assert isinstance(places, Places)
    assert (places.names, places.every, places.ppa) == (("ubuntu/hoary", "ubuntu/trixie"), True, True)


def test_the_archive_decides_between_series_of_one_name() -> None:
    assert names(Wish("cprov/ppa", ("trixie",))) == ("ubuntu/cprov/ppa", "ubuntu/trixie")
    assert "one of: debian/trixie, ubuntu/trixie" in refusal(Wish("primary", ("trixie",)))


def test_a_name_with_its_distribution_goes_before_somebodys_ppa() -> None:
    assert names(Wish("debian/primary", ("bookworm",))) == ("debian/primary", "debian/bookworm")
    assert names(Wish("ubuntu/debian/primary", ("hoary",))) == ("ubuntu/debian/primary", "ubuntu/hoary")


def test_a_chroot_of_release_stands_in_for_another_pocket_but_not_the_other_way() -> None:
    every = [arch(number, *one) for number, one in enumerate(SERIES)]
    archives = [archive(number, *one) for number, one in enumerate(ARCHIVES)]
    own = [chroot("debian/sid/amd64", Pocket.PROPOSED)]
    assert isinstance(choose(Wish("primary", pocket=Pocket.PROPOSED), every, own, archives, OPERATOR), Places)
    assert isinstance(choose(Wish("primary"), every, own, archives, OPERATOR), Refused)
    release = [chroot("debian/sid/amd64")]
    assert isinstance(choose(Wish("primary", pocket=Pocket.PROPOSED), every, release, archives, OPERATOR), Places)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish("nowhere"), "no archive 'nowhere' here (there are: debian/primary, ubuntu/primary, ubuntu/cprov/ppa"),
        (Wish("primary", ("warty",)), "no series 'warty' with a chroot (there are: debian/bookworm, debian/trixie,"),
        (Wish("primary", ("sid",)), "no series 'sid' with a chroot"),
        (Wish("primary", ("all",)), "are of one distribution: say --series with those of debian/all or ubuntu/all"),
        (
            Wish("primary", ("bookworm", "hoary")),
            "are of one distribution: say --series with those of debian or ubuntu",
        ),
        (Wish("primary", ("all", "bookworm")), "--series all is every series that has a chroot: name none beside it"),
        (Wish("primary", ("debian/all", "all")), "name none beside it"),
        (Wish("primary", ("bookworm",), ("vax",)), "no chroot for the architecture 'vax' (there are: amd64)"),
        (Wish("primary", ("bookworm",), ("i386",)), "no chroot for the architecture 'i386' (there are: amd64)"),
        (Wish("primary", ("bookworm",), ("all",)), "--arch all names no architecture"),
        (Wish("primary", ("bookworm",), ("any",)), "--arch any names no architecture"),
        (Wish("primary", ("",)), "no series '' with a chroot"),
        (
            Wish("cprov/ppa", ("bookworm",)),
            "no series 'bookworm' with a chroot (there are: ubuntu/hoary, ubuntu/trixie)",
        ),
    ],
)
def test_what_is_not_there_or_contradicts_itself_is_refused_in_words(wish: Wish, words: str) -> None:
    assert words in refusal(wish)


def test_a_series_whose_status_closes_the_pocket_to_uploads_is_refused_and_the_open_ones_named() -> None:
    refused = chosen(Wish("debian/primary", ("bookworm",)), bookworm=SeriesStatus.CURRENT)
    assert refused == Refused(
        "the pocket RELEASE is closed to uploads in debian/bookworm (CURRENT): say --pocket with SECURITY or UPDATES or"
        " PROPOSED or BACKPORTS, or change the status with `buildd-master series set`"
    )
    beside_an_open_one = Wish("debian/primary", ("trixie", "bookworm"))
    assert chosen(beside_an_open_one, bookworm=SeriesStatus.CURRENT) == refused
    wish = Wish("debian/primary", ("bookworm",), pocket=Pocket.UPDATES)
    assert isinstance(chosen(wish, bookworm=SeriesStatus.CURRENT), Places)
    refused = chosen(wish, bookworm=SeriesStatus.OBSOLETE)
    assert isinstance(refused, Refused)
    assert refused.text.endswith("(OBSOLETE): change the status with `buildd-master series set`")


def test_a_series_whose_status_closes_the_pocket_is_left_out_of_all_with_a_word() -> None:
    places = chosen(Wish("debian/primary", ("all",)), bookworm=SeriesStatus.CURRENT)
    assert isinstance(places, Places)
    assert places.names == ("debian/trixie",)
    assert places.remarks == ("the pocket RELEASE is closed to uploads in debian/bookworm (CURRENT)",)
    assert isinstance(
        chosen(Wish("debian/primary", ("all",)), bookworm=SeriesStatus.CURRENT, trixie=SeriesStatus.OBSOLETE), Refused
    )


def test_ppas_do_not_care_for_the_status_of_a_series() -> None:
    places = chosen(Wish("cprov/ppa", ("hoary",)), hoary=SeriesStatus.OBSOLETE)
    assert isinstance(places, Places)
    assert places.names == ("ubuntu/hoary",)


def test_without_any_chroot_the_way_to_one_is_told() -> None:
    assert refusal(Wish("nowhere"), ()) == "no series has a chroot: make one with `buildd-master chroot make`"
    assert "no series of ubuntu has a chroot" in refusal(Wish("cprov/ppa"), ("debian/trixie/amd64",))


def test_a_series_that_is_really_named_all_is_named_with_its_distribution() -> None:
    every = [arch(1, "debian", "all", "amd64"), arch(2, "debian", "sid", "amd64")]
    places = choose(
        Wish("primary", ("debian/all",)),
        every,
        [chroot(str(one)) for one in every],
        [archive(1, "debian", "primary")],
        OPERATOR,
    )
    assert isinstance(places, Places)
    assert (places.names, places.every) == (("debian/all",), False)
