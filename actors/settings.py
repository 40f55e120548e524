"""What can be set, and to what.

A TOML file, the environment and the command line are read by `actors.master.settings_file`, which also names the place
of a fault.  Opens nothing, makes nothing.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from actors.core.attempts.verdict import VerdictRules
from actors.core.people.receiver import read_receiver
from actors.core.timers import Timers
from storage.errors import BadValue
from storage.files.credentials import KEY_FILE, FilesPlace, read_key
from storage.limits import RANGES, check_limits, parse
from storage.records import Limits

PREFIX = "BUILDD_MASTER_"  #: of environment variables; `BUILDD_MASTER_TIMERS__CONNECT` reaches into a section
SECTIONS = {
    "timers": Timers.__dataclass_fields__,
    "limits": Limits.__dataclass_fields__,
    "verdicts": VerdictRules.__dataclass_fields__,
}
BY_ROOT: Final = os.geteuid() == 0  #: who started us: a master that became another user reads the same file again


def default_state_directory() -> Path:
    """Return where a farm keeps its state if nobody says otherwise."""
    if os.environ.get("STATE_DIRECTORY"):  # of the systemd unit
        return Path(os.environ["STATE_DIRECTORY"])
    if BY_ROOT:
        return Path("/var/lib/buildd-master")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "buildd-master"


class Settings(BaseSettings):
    """Settings of one farm; immutable, travels to every actor in its start message."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    state_directory: Path = Field(default_factory=default_state_directory)
    database: str = Field(default="", repr=False)  #: DSN; empty: PostgreSQL embedded in the state directory
    user: str = "buildd-master"  #: system user that a master started as root becomes; empty: stays root
    enroll_listen: str = ""  #: HOST:PORT where slaves on other machines enrol, as `0.0.0.0:8220`; empty: nowhere
    files_listen: str = (
        ""  #: ADDRESS:PORT where launchpad-buildd slaves fetch files, as `10.0.0.1:8219`; empty: nowhere
    )
    files_url: str = Field(default="", validate_default=True)  #: the same as they reach it, as `http://farm.lan:8219`
    webhook: str = Field(default="", repr=False)  #: URL where people are told what only they can mend; empty: nobody is
    keep_events_days: int = Field(
        default=0, ge=0, le=36_500
    )  #: older events are forgotten, but for the last word about what is there; 0: none is
    admin_port: int = Field(default=0, ge=0, le=65535)  #: of the actor system, on loopback; 0: a free one
    builders_per_nursery: int = Field(default=32, ge=1, le=200)
    limits: Limits = Limits(
        wall_seconds=8 * 3600, silent_seconds=150 * 60, processes=4096, log_bytes=128 << 20
    )  #: section `[limits]`: of builds, unless they or their archives have their own (dispatch-rules §8)
    log_level: str = "INFO"
    timers: Timers = Timers()  #: section `[timers]`
    verdicts: VerdictRules = VerdictRules()  #: section `[verdicts]`: who is blamed for what (dispatch-rules §5, §6)
    crashes: int = Field(default=3, ge=1)  #: more crashes of one actor than this …
    crash_window_seconds: float = Field(default=60.0, gt=0)  #: … within this: held until it has passed
    fresh_starts: int = Field(default=3, ge=0)  #: of the whole farm, when its root dies or hangs; more than this …
    fresh_start_window_seconds: float = Field(default=300.0, gt=0)  #: … within this: the master exits with 1
    stop_seconds: float = Field(default=6.0, gt=0)  #: for the farm to stop politely; then it is killed

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            message = "must be DEBUG, INFO, WARNING or ERROR"
            raise ValueError(message)
        return value.upper()

    @field_validator("enroll_listen")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            place_of(value)
        return value

    @field_validator("files_listen")
    @classmethod
    def _files_address(cls, value: str) -> str:
        if value and not place_of(value)[1]:
            message = "must have a port: slaves are told it"
            raise ValueError(message)
        return value

    @field_validator("files_url")
    @classmethod
    def _files_url(cls, value: str, info: ValidationInfo) -> str:
        listen = info.data.get("files_listen")
        if listen is None:
            return value  # which is refused already
        if listen and not value and ip_address(place_of(listen)[0]).is_unspecified:
            message = f"files_listen = {listen} is every address: say here which one slaves reach"
            raise ValueError(message)
        return reached_by(value) if value else value

    @field_validator("webhook")
    @classmethod
    def _receiver(cls, value: str) -> str:
        if value:
            read_receiver(value)
        return value

    @field_validator("timers", "verdicts", mode="before")
    @classmethod
    def _known_names(cls, value: object, info: ValidationInfo) -> object:
        known = SECTIONS[str(info.field_name)]
        unknown = sorted(value.keys() - known.keys()) if isinstance(value, dict) else []
        if unknown:
            message = f"there is no {', '.join(unknown)}"
            raise ValueError(message)
        return value

    @field_validator("limits", mode="before")
    @classmethod
    def _read_limits(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        try:
            read = {name: _limit(name, one) for name, one in value.items()}
            check_limits(read)
        except BadValue as wrong:
            raise ValueError(str(wrong)) from wrong
        if "wall_seconds" in read and read["wall_seconds"] is None:
            message = "wall_seconds can't be none: every build comes to an end"
            raise ValueError(message)
        return read

    @field_validator("timers")
    @classmethod
    def _positive(cls, value: Timers) -> Timers:
        wrong = [name for name in Timers.__dataclass_fields__ if not 0 < getattr(value, name) < float("inf")]
        if wrong:
            message = f"{', '.join(wrong)} must be more than 0 seconds, and not endless"
            raise ValueError(message)
        if value.hung < 1:
            message = "hung must be at least 1 second: a busy machine keeps processes waiting"
            raise ValueError(message)
        return value

    @field_validator("verdicts")
    @classmethod
    def _sensible(cls, value: VerdictRules) -> VerdictRules:
        wrong = [name for name in VerdictRules.__dataclass_fields__ if not 0 < getattr(value, name) < float("inf")]
        if wrong:
            message = f"{', '.join(wrong)} must be more than 0, and not endless"
            raise ValueError(message)
        if not value.quick_failures <= value.results:
            message = "quick_failures can't be more than the results they are counted among"
            raise ValueError(message)
        return value

    @field_validator("state_directory")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def librarian_directory(self) -> Path:
        """Content-addressed files."""
        return self.state_directory / "librarian"

    @property
    def logs_directory(self) -> Path:
        """Logs of running attempts, `<attempt>.log`."""
        return self.state_directory / "logs"

    @property
    def key_file(self) -> Path:
        """Key of the actor transport, made anew at every start, 0600."""
        return self.state_directory / "actors.key"

    @property
    def token_file(self) -> Path:
        """Secret shared with the slaves, 0600."""
        return self.state_directory / "slave-token"

    @property
    def slaves_fetch_at(self) -> str:
        """URL at which slaves that download find this master's files; empty: it hands out none, whatever `files_url` is."""
        if not self.files_listen or self.files_url:
            return self.files_listen and self.files_url
        host, port = place_of(self.files_listen)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def files_place(self) -> tuple[FilesPlace | None, str]:
        """Return where slaves that download find files; or None, and why there is no such place."""
        if not self.files_listen:
            return None, "set files_listen (and files_url) in the master's settings, and start it again"
        try:
            return FilesPlace(self.slaves_fetch_at, read_key(self.state_directory)), ""
        except OSError as error:
            return None, f"the key can't be read: {error.strerror or error}"

    @property
    def files_key_file(self) -> Path:
        """Key of the passwords by which slaves fetch files, 0600; made when `files_listen` is first set."""
        return self.state_directory / KEY_FILE

    @property
    def certificates_directory(self) -> Path:
        """What this master shows to slaves on other machines, and what it believes of theirs."""
        return self.state_directory / "tls"

    @property
    def pause_file(self) -> Path:
        """Why the running master gives nothing away while its database can't be told (`actors.queue.pause_note`)."""
        return self.state_directory / "paused"

    @property
    def run_file(self) -> Path:
        """Where the running master is found (pid, ports); absent when none runs."""
        return self.state_directory / "run.json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the command line over the environment over the file."""
        return init_settings, env_settings, FileContent(settings_cls)


def place_of(text: str) -> tuple[str, int]:
    """Return address and port of `ADDRESS:PORT`.

    Raises:
        ValueError: it is none.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(host)
        number = int(port) if port.isascii() and port.isdigit() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:  # noqa: PLR2004 - ports end there
        message = "must be an IP address and a port, as 0.0.0.0:8220"
        raise ValueError(message)
    return host, number


def reached_by(url: str) -> str:
    """Return the URL of a place that slaves reach, without what may not be in it.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(url)
    plain = not parts.username and not parts.query and not parts.fragment and parts.path in {"", "/"}
    if parts.scheme != "http" or not parts.hostname or not parts.port or not plain:
        message = "must be http://HOST:PORT, as slaves reach it"
        raise ValueError(message)
    return url.rstrip("/")


class FileContent(PydanticBaseSettingsSource):
    """The lowest source: what `actors.master.settings_file` has read from the file."""

    content: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed, by who reads the file

    def get_field_value(self, field: object, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return what the file says of one field."""
        return self.content.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return all that the file says."""
        return dict(self.content)


def _limit(name: str, value: object) -> int | None:
    """Return what the file or the environment says of a limit: a number, a text as `parse` takes it, or `none`."""
    if value is None or value == "none":
        return None
    if isinstance(value, str) and name in RANGES:
        return parse(name, value, bare=True)
    if type(value) is int or name not in RANGES:
        return cast("int", value)
    raise BadValue(f"{name} can't be {value!r}")
