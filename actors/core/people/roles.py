"""Who may do what: the roles that an action needs, and who has them.  One table, read aloud.

Pure: the caller comes with the teams of their person, the thing with its owner.  Doors ask `permit` before anything is
written and again inside the transaction: `cli.farm.Farm.acting` does, the web's API will.  The rows are
`storage.access.people`'s; what others see of a private archive's builds is `actors.core.people.private`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from storage.records import ADMINS, Archive, Build, Job, Person


class Role(StrEnum):
    """What somebody must be to do something."""

    BUILDD_ADMIN = "buildd-admin"  #: a member of the team buildd-admins, or an operator: see `Caller`
    OWNER = "owner"  #: of the archive concerned: that person, or a member of the team of that name
    ONESELF = "oneself"  #: the person concerned
    ANYBODY = "anybody"


class Action(StrEnum):
    """What can be done; the values are how refusals call it."""

    CHANGE_BUILDERS = "changing builders and their certificates"
    CHANGE_SCORES = "changing scores, and who builds what"  #: manual scores, assignments
    CHANGE_FARM = "changing what holds for the whole farm"  #: pauses, fences, its database, its actors
    CHANGE_ARCHIVES = "changing series, archives and chroots"
    CHANGE_PEOPLE = "changing people, teams and tokens"
    CHANGE_LIMITS = "giving builds limits of their own"  #: over those of archive and settings
    SET_STATES = "setting the states of builds by hand"
    CHANGE_BUILDS = "changing the builds of"  #: an archive: submit to it, cancel, retry, give back
    READ_FILES = "reading logs and files of"  #: an archive's builds
    REVOKE_TOKENS = "listing and revoking the tokens of"  #: a person
    READ_ALL = "looking through the whole farm"  #: private archives' builds, too


#: Any of the roles will do.
NEEDS: Final[Mapping[Action, tuple[Role, ...]]] = {
    Action.CHANGE_BUILDERS: (Role.BUILDD_ADMIN,),
    Action.CHANGE_SCORES: (Role.BUILDD_ADMIN,),
    Action.CHANGE_FARM: (Role.BUILDD_ADMIN,),
    Action.CHANGE_ARCHIVES: (Role.BUILDD_ADMIN,),
    Action.CHANGE_PEOPLE: (Role.BUILDD_ADMIN,),
    Action.CHANGE_LIMITS: (Role.BUILDD_ADMIN,),
    Action.SET_STATES: (Role.BUILDD_ADMIN,),
    Action.CHANGE_BUILDS: (Role.BUILDD_ADMIN, Role.OWNER),
    Action.READ_FILES: (Role.ANYBODY,),
    Action.REVOKE_TOKENS: (Role.BUILDD_ADMIN, Role.ONESELF),
    Action.READ_ALL: (Role.BUILDD_ADMIN,),
}
#: The same where the archive is private; what does not stand here is as above.
NEEDS_IF_PRIVATE: Final[Mapping[Action, tuple[Role, ...]]] = {
    Action.READ_FILES: (Role.BUILDD_ADMIN, Role.OWNER),
}
OF_AN_ARCHIVE: Final = frozenset({Action.CHANGE_BUILDS, Action.READ_FILES})
OF_A_PERSON: Final = frozenset({Action.REVOKE_TOKENS})

Subject = Archive | Build | Job | Person | None  #: what an action concerns; a build or job stands for its archive


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a person, or an operator.

    An operator is whoever opened the farm's database: they could write plain SQL, so no rule of ours binds them.
    """

    name: str  #: who of the events
    person: Person | None = None  #: whose roles count; None: an operator

    @property
    def admin(self) -> bool:
        """Whether they have the role buildd-admin."""
        return self.person is None or ADMINS in self.person.teams


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: nothing was changed."""

    action: Action
    missing: tuple[Role, ...]  #: any of them would do
    words: str  #: one sentence, without a full stop; never names a private archive or its owner


def permit(caller: Caller, action: Action, subject: Subject = None) -> Refusal | None:
    """Return why `caller` may not do this; None: they may.

    Args:
        caller: who asks.
        action: what.
        subject: the archive (or a build or job of it) or person that `action` concerns; None for all other actions.

    Raises:
        ValueError: the subject is none that the action could concern: a mistake of ours.
    """
    _check_subject(action, subject)
    needs = needed(action, subject)
    if any(_has(caller, role, subject) for role in needs):
        return None
    missing = tuple(role for role in needs if role is not Role.OWNER or _owner(subject) is not None)
    ways = ", or ".join(_role_words(role, subject) for role in missing)
    return Refusal(action, missing, f"{_action_words(action, subject)} needs {ways}; you act as {caller.name}")


def act_as(caller: Caller, person: Person) -> Caller | Refusal:
    """Return `caller` with the roles of `person` and no others; only those who have every role may.

    The name says both: what a buildd-admin tries as cprov is not cprov's doing.
    """
    if caller.person is not None and caller.person.name == person.name:
        return caller
    if not caller.admin:
        words = f"acting as {person.name} needs {_ADMIN}; you act as {caller.name}"
        return Refusal(Action.READ_ALL, (Role.BUILDD_ADMIN,), words)
    return Caller(f"{caller.name} as {person.name}", person)


def needed(action: Action, subject: Subject = None) -> tuple[Role, ...]:
    """Return the roles of which one must be had."""
    if isinstance(subject, Archive | Build | Job) and subject.private:
        return NEEDS_IF_PRIVATE.get(action, NEEDS[action])
    return NEEDS[action]


def _check_subject(action: Action, subject: Subject) -> None:
    fits = {
        "an archive": (action in OF_AN_ARCHIVE, isinstance(subject, Archive | Build | Job)),
        "a person": (action in OF_A_PERSON, isinstance(subject, Person)),
    }
    for what, (wanted, given) in fits.items():
        if wanted != given:
            raise ValueError(f"{action.name} concerns {what if wanted else f'not {what}'}: {subject!r}")


def _has(caller: Caller, role: Role, subject: Subject) -> bool:
    match role:
        case Role.ANYBODY:
            return True
        case Role.BUILDD_ADMIN:
            return caller.admin
        case Role.OWNER:
            person, owner = caller.person, _owner(subject)
            return person is not None and owner is not None and owner in {person.name, *person.teams}
        case Role.ONESELF:
            return caller.person is not None and isinstance(subject, Person) and caller.person.name == subject.name


def _owner(subject: Subject) -> str | None:
    return subject.owner if isinstance(subject, Archive | Build | Job) else None


_ADMIN: Final = f"a buildd-admin (a member of the team {ADMINS})"


def _role_words(role: Role, subject: Subject) -> str:
    match subject:
        case Archive() | Build() | Job() if role is Role.OWNER:
            return "its owner" if subject.private else f"{subject.owner}, who owns {_archive(subject)}"
        case Person() if role is Role.ONESELF:
            return subject.name
        case _:
            return _ADMIN


def _action_words(action: Action, subject: Subject) -> str:
    match subject:
        case None:
            return action.value
        case Person():
            return f"{action.value} {subject.name}"
        case _:
            return f"{action.value} {_archive(subject)}"


def _archive(subject: Archive | Build | Job) -> str:
    match subject:
        case _ if subject.private:
            return "a private archive"
        case Archive():
            return f"{subject.distribution}/{subject.name}"
        case _:
            return f"{subject.distroarchseries.partition('/')[0]}/{subject.archive}"
