"""`buildd-master ca`: who may speak as the master or as a builder's slave, where the two are on different machines.

A slave enrols with a one-time token (`ca issue NAME`); what it shows afterwards is good for its own builder only.  A farm
whose slaves are all on this machine needs none of this.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from actors.core.people.roles import Action
from certificates.files import AUTHORITY, OWN, write_file
from certificates.making import fingerprint, new_key, new_request
from certificates.token import new_token, secret_hash
from cli.errors import BadInput, Failed
from cli.farm import Farm, open_farm
from cli.options import completing
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, note, print_json, say, since, warn, when
from cli.terminal.tables import Rows
from storage.access.authority import FarmAuthority
from storage.access.certificates import MASTER, Certificates, expiring, in_force, warning
from storage.builders import Builders
from storage.records import Certificate

app = typer.Typer(help="Certificates of master and slaves on different machines.", no_args_is_help=True)

Builder = Annotated[
    str,
    typer.Argument(
        metavar="BUILDER", help="Name of the builder.", autocompletion=completing.builders, show_default=False
    ),
]
Days = Annotated[
    int, typer.Option("--days", metavar="DAYS", help="How long the certificate is valid.", min=1, max=3650)
]


@app.command("init")
def init_authority(context: typer.Context, why: Why = None, as_json: AsJson = False) -> None:
    """Make the farm's authority and the master's certificate.

    `ca issue` does it by itself; what is there already stays.
    """
    with open_farm(context) as farm, farm.acting(why or "ca init", Action.CHANGE_BUILDERS):
        authority = _authority(farm)
        there = authority.there
        pem = authority.open().pem
    pin = fingerprint(pem).hex()
    if as_json:
        print_json({"made": not there, "fingerprint": pin, "certificate": pem})
    else:
        say(f"{'there is' if there else 'made'} the farm's authority, SHA-256 {pin}")


@app.command("issue")
def issue_certificate(
    context: typer.Context,
    name: Builder,
    minutes: Annotated[
        int, typer.Option("--minutes", metavar="MINUTES", help="How long the token is good.", min=1, max=10_080)
    ] = 60,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory",
            metavar="DIR",
            help="Instead of a token: write key and certificate here, for a host that can't enrol.",
            show_default=False,
        ),
    ] = None,
    days: Days = 365,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Print a one-time token with which a slave enrols as the builder.

    On the slave's machine: buildd-slave enroll https://MASTER:8220 --token -
    """
    with open_farm(context) as farm, farm.acting(why or f"ca issue {name}", Action.CHANGE_BUILDERS):
        Builders(farm.connection).get(name)
        authority = _authority(farm)
        pem = authority.open().pem
        if directory is not None:
            certificate = _write_own(authority, pem, name, directory, timedelta(days=days))
            expires, token = None, None
        else:
            token = new_token(fingerprint(pem))
            expires = Certificates(farm.connection).add_token(
                name, secret_hash(token.secret), timedelta(minutes=minutes)
            )
            certificate = None
    if as_json:
        print_json({"builder": name, "token": token and str(token), "expires": expires, "serial": certificate})
    elif directory is not None:
        say(f"wrote {directory}: move it to {name}'s machine, and there: buildd-slave enroll --files {directory.name}")
    else:
        say(str(token))
        note(f"good once, for {name}, until {when(expires)}: buildd-slave enroll https://MASTER:8220 --token -")


@app.command("renew")
def renew_certificate(
    context: typer.Context, name: Builder, days: Days = 365, why: Why = None, as_json: AsJson = False
) -> None:
    """Issue another certificate to a builder, or to `master`, before the last one expires.

    A slave gets it over its session.  The farm does this by itself, when a third of the time is left.
    """
    now = datetime.now(UTC)
    with open_farm(context) as farm, farm.acting(why or f"ca renew {name}", Action.CHANGE_BUILDERS):
        certificates = Certificates(farm.connection)
        last = next((one for one in in_force(certificates.all()) if one.name == name), None)
        if last is None:
            Builders(farm.connection).get(name)
            raise BadInput(f"{name} has no certificate in force: `buildd-master ca issue {name}` lets its slave enrol")
        if now > last.not_after and name != MASTER:
            raise Failed(warning(last, now))
        issued = _authority(farm).renew(last, timedelta(days=days))
    if as_json:
        print_json({"name": name, "serial": issued.shown.serial, "not_after": issued.shown.not_after})
    else:
        say(f"renewed the certificate of {last.holder}: valid until {when(issued.shown.not_after)}")


@app.command("revoke")
def revoke_certificate(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|SERIAL", help="Builder or serial.", autocompletion=completing.builders, show_default=False
        ),
    ],
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a certificate, or all of a builder, for good.

    The running farm ends a session opened with it within a second.
    """
    with open_farm(context) as farm, farm.acting(why or f"ca revoke {what}", Action.CHANGE_BUILDERS):
        if what == MASTER:
            raise BadInput(
                "slaves can't be told of it: move ca/ and tls/ of the state directory away, and let every slave enrol again"
            )
        revoked = Certificates(farm.connection).revoke(what)
    if as_json:
        print_json({"revoked": [_document(one) for one in revoked]})
    else:
        for one in revoked:
            say(f"revoked certificate {one.serial} of {one.holder}")


@app.command("list")
def list_certificates(context: typer.Context, as_json: AsJson = False) -> None:
    """List what was issued, what is revoked, and what expires soon."""
    now = datetime.now(UTC)
    with open_farm(context) as farm:
        found = Certificates(farm.connection).all()
    if as_json:
        warnings = [warning(one, now) for one in expiring(found, now)]
        print_json({"certificates": [_document(one) for one in found], "warnings": warnings})
        return
    rows = Rows("HOLDER", "STATE", "EXPIRES", "SERIAL", less=("SERIAL",))
    for one in found:
        rows.add(one.name, state_of(one, now), when(one.not_after), one.serial)
    rows.show("no certificates: `buildd-master ca issue BUILDER` is for slaves on other machines")
    for one in expiring(found, now):
        warn(warning(one, now))


def state_of(one: Certificate, now: datetime) -> str:
    """Return how a certificate is, in words."""
    if one.revoked is not None:
        return f"revoked {when(one.revoked)}"
    return f"valid for {since(now, one.not_after)}" if now <= one.not_after else "expired"


def _authority(farm: Farm) -> FarmAuthority:
    return FarmAuthority(farm.connection, farm.settings.state_directory, datetime.now(UTC))


def _write_own(authority: FarmAuthority, ca: str, name: str, directory: Path, life: timedelta) -> str:
    if directory.exists():
        raise BadInput(f"{directory} is there already: name a directory that is not")
    key = new_key()
    issued = authority.issue(name, new_request(key), life)
    write_file(directory / AUTHORITY, ca, mode=0o644)
    write_file(directory / OWN, key + issued.pem)
    return issued.shown.serial


def _document(one: Certificate) -> dict[str, object]:
    return {
        "serial": one.serial,
        "role": one.role,
        "name": one.name,
        "not_before": one.not_before,
        "not_after": one.not_after,
        "issued": one.issued,
        "revoked": one.revoked,
    }
