"""Who may do what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.people.roles import (
    NEEDS,
    OF_A_PERSON,
    OF_AN_ARCHIVE,
    Action,
    Caller,
    Refusal,
    Role,
    Subject,
    act_as,
    permit,
)
from storage.records import (
    ADMINS,
    Archive,
    ArchivePurpose,
    Build,
    BuildState,
    Limits,
    Person,
    Pocket,
    Urgency,
)

PPA = Archive(3, "cprov/ppa", "ubuntu", ArchivePurpose.PPA, "cprov", False, True, 0, Limits())
PRIMARY = Archive(1, "primary", "ubuntu", ArchivePurpose.PRIMARY, None, False, True, 0, Limits())
MALLORY = Person(7, "mallory")
ANNA = Person(8, "anna", (ADMINS, "kernel"))
CPROV = Person(9, "cprov")

NAMES = st.sampled_from(["anna", "cprov", "mallory", "kernel", "desktop"])
TEAMS = st.frozensets(st.sampled_from(["kernel", "desktop", ADMINS]))
PEOPLE = st.builds(lambda name, teams: Person(1, name, tuple(sorted(teams))), NAMES, TEAMS)
ARCHIVES = st.builds(
    lambda owner, private: replace(PPA, name=f"{owner}/ppa" if owner else "primary", owner=owner, private=private),
    st.none() | NAMES,
    st.booleans(),
)


def a_build(archive: Archive) -> Build:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Build(
        id=17,
        source="foo",
        version="1.0-1",
        archive=archive.name,
        distroarchseries="ubuntu/hoary/i386",
        architecture="i386",
        family="x86",
        pocket=Pocket.RELEASE,
        component="main",
        urgency=Urgency.LOW,
        trusted=False,
        arch_indep=False,
        state=BuildState.NEEDSBUILD,
        dependencies=(),
        why="",
        created=now,
        started=None,
        ended=None,
        builder=None,
        limits=Limits(),
        owner=archive.owner,
        private=archive.private,
    )


def concerned(action: Action, archive: Archive, person: Person) -> Subject:
    if action in OF_AN_ARCHIVE:
        return archive
    return person if action in OF_A_PERSON else None


def is_owner(person: Person, archive: Archive) -> bool:
    return archive.owner is not None and archive.owner in {person.name, *person.teams}


@given(PEOPLE, ARCHIVES, st.sampled_from(Action), NAMES)
def test_who_has_no_role_for_it_changes_nothing_and_who_has_may(
    person: Person, archive: Archive, action: Action, other: str
) -> None:
    subject = concerned(action, archive, Person(2, other))
    admin = ADMINS in person.teams
    allowed = {
        Action.CHANGE_BUILDS: admin or is_owner(person, archive),
        Action.READ_FILES: admin or is_owner(person, archive) or not archive.private,
        Action.REVOKE_TOKENS: admin or person.name == other,
    }.get(action, admin)
    assert (permit(Caller(person.name, person), action, subject) is None) == allowed


@given(ARCHIVES, st.sampled_from(Action), PEOPLE)
def test_an_operator_may_do_everything(archive: Archive, action: Action, other: Person) -> None:
    assert permit(Caller("root"), action, concerned(action, archive, other)) is None


@given(PEOPLE, ARCHIVES, st.sampled_from(sorted(OF_AN_ARCHIVE)))
def test_a_build_stands_for_its_archive(person: Person, archive: Archive, action: Action) -> None:
    caller = Caller(person.name, person)
    assert permit(caller, action, a_build(archive)) == permit(caller, action, archive)


@given(PEOPLE, ARCHIVES, st.sampled_from(Action), PEOPLE)
def test_a_refusal_says_which_role_is_missing_and_who_asked(
    person: Person, archive: Archive, action: Action, other: Person
) -> None:
    refusal = permit(Caller(person.name, person), action, concerned(action, archive, other))
    if refusal is None:
        return
    assert Role.BUILDD_ADMIN in refusal.missing
    assert set(refusal.missing) <= set(Role) - {Role.ANYBODY}
    assert f"the team {ADMINS}" in refusal.words
    assert refusal.words.endswith(f"you act as {person.name}")
    assert "\n" not in refusal.words
    if archive.private and archive.owner is not None:
        assert archive.name not in refusal.words


@given(PEOPLE, PEOPLE, ARCHIVES, st.sampled_from(Action), PEOPLE)
def test_nobody_gains_a_right_by_acting_as_somebody_else(
    person: Person, other: Person, archive: Archive, action: Action, third: Person
) -> None:
    caller = Caller(person.name, person)
    acting = act_as(caller, other)
    if isinstance(acting, Refusal):
        return
    subject = concerned(action, archive, third)
    if permit(acting, action, subject) is None:
        assert permit(caller, action, subject) is None


def test_an_operator_who_acts_as_a_person_has_that_persons_roles_and_both_names() -> None:
    acting = act_as(Caller("root"), MALLORY)
    assert acting == Caller("root as mallory", MALLORY)
    assert permit(acting, Action.CHANGE_BUILDERS) is not None


def test_a_person_can_act_as_nobody_else() -> None:
    refusal = act_as(Caller("mallory", MALLORY), ANNA)
    assert isinstance(refusal, Refusal)
    assert refusal.words == (
        "acting as anna needs a buildd-admin (a member of the team buildd-admins); you act as mallory"
    )
    assert act_as(Caller("mallory", MALLORY), replace(MALLORY)) == Caller("mallory", MALLORY)


def test_the_members_of_the_team_that_owns_an_archive_are_its_owners() -> None:
    archive = replace(PPA, name="kernel/ppa", owner="kernel")
    member = Person(2, "bob", ("kernel",))
    assert permit(Caller("bob", member), Action.CHANGE_BUILDS, archive) is None
    assert permit(Caller("bob", member), Action.CHANGE_BUILDS, PPA) is not None


@pytest.mark.parametrize(
    ("action", "subject", "words"),
    [
        (
            Action.CHANGE_BUILDERS,
            None,
            (
                "changing builders and their certificates needs a buildd-admin (a member of the team buildd-admins);"
                " you act as mallory"
            ),
        ),
        (
            Action.CHANGE_BUILDS,
            PPA,
            (
                "changing the builds of ubuntu/cprov/ppa needs a buildd-admin (a member of the team buildd-admins),"
                " or cprov, who owns ubuntu/cprov/ppa; you act as mallory"
            ),
        ),
        (
            Action.CHANGE_BUILDS,
            PRIMARY,
            (
                "changing the builds of ubuntu/primary needs a buildd-admin (a member of the team buildd-admins);"
                " you act as mallory"
            ),
        ),
        (
            Action.READ_FILES,
            replace(a_build(PPA), private=True),
            (
                "reading logs and files of a private archive needs a buildd-admin (a member of the team buildd-admins),"
                " or its owner; you act as mallory"
            ),
        ),
        (
            Action.REVOKE_TOKENS,
            CPROV,
            (
                "listing and revoking the tokens of cprov needs a buildd-admin (a member of the team buildd-admins),"
                " or cprov; you act as mallory"
            ),
        ),
    ],
)
def test_a_refusal_is_one_sentence(action: Action, subject: Subject, words: str) -> None:
    refusal = permit(Caller("mallory", MALLORY), action, subject)
    assert refusal is not None
    assert refusal.words == words


@pytest.mark.parametrize(
    ("action", "subject"),
    [
        (Action.CHANGE_BUILDS, None),
        (Action.CHANGE_BUILDS, CPROV),
        (Action.CHANGE_FARM, PPA),
        (Action.REVOKE_TOKENS, PPA),
    ],
)
def test_an_action_that_is_asked_for_without_what_it_concerns_is_a_mistake_of_ours(
    action: Action, subject: Subject
) -> None:
    with pytest.raises(ValueError, match=action.name):
        permit(Caller("root"), action, subject)


def test_every_action_stands_in_the_table() -> None:
    assert set(NEEDS) == set(Action)
