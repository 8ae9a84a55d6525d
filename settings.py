"""One frozen Settings, read once from a TOML file and the environment.

The environment wins over the file. Passwords come from a file or the environment, never from
arguments, and are never shown. An unknown name is an error that lists the known ones, because a
misspelt setting that is silently ignored is found only when it hurts.
"""

import os
import tomllib
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "FIT_TRIAGE_"
DEFAULT_FILE = Path("fit-triage.toml")


class SettingsError(Exception):
    """The configuration cannot be used; the message names the setting and what is allowed."""


class SourceSettings(BaseModel):
    """One mailbox folder. Only ``url`` is needed for files; IMAP needs a password as well."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    user: str = Field("", description="Login user, where it differs from the mailbox address")
    password_file: Path | None = Field(None, description="File that holds the password")
    ca_file: Path | None = Field(None, description="CA certificate, where it is not a public one")
    allow_plaintext: bool = Field(default=False, description="Allow imap:// without TLS")
    tag: str = Field("", description="IMAP keyword set on stored messages; empty leaves all as is")


class OfficeSettings(BaseModel):
    """When somebody is there to act, in Europe/London."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: tuple[int, ...] = Field((0, 1, 2, 3, 4), description="Working days, Monday is 0")
    opens: time = Field(time(9), description="Local time")
    closes: time = Field(time(17, 30), description="Local time")
    region: Literal["ENG", "SCT", "WLS", "NIR"] = Field("ENG", description="Whose bank holidays")

    @field_validator("days")
    @classmethod
    def _week_days(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        if not days or not set(days) <= set(range(7)):
            msg = "give at least one day; allowed are 0 (Monday) to 6 (Sunday)"
            raise ValueError(msg)
        return days


class Settings(BaseSettings):
    """Everything that operations can choose. ``docs/settings.md`` lists it."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )

    database_url: str = Field(
        "sqlite:///fit-triage.sqlite3", description="sqlite:///PATH or postgresql+psycopg://…"
    )
    sources: Annotated[tuple[SourceSettings, ...], NoDecode] = Field(
        (), description="Mailboxes to read; in the environment their URLs, separated by blanks"
    )
    authserv_id: str = Field(
        "", description="The receiving server whose Authentication-Results are believed"
    )
    check_dkim: bool = Field(default=False, description="Check DKIM signatures ourselves as well")
    imap_password: SecretStr = Field(SecretStr(""), description="Environment only")
    imap_password_file: Path | None = Field(None, description="For sources without their own")
    imap_ca_file: Path | None = Field(None, description="For sources without their own")
    imap_timeout: float = Field(30, gt=0, description="Seconds that any IMAP command may take")
    start: Literal["history", "now"] = Field(
        "history", description="What a first connection reads: all there is, or only what comes"
    )
    max_message_bytes: int = Field(25 * 2**20, gt=0, description="Larger mail is quarantined")
    batch_size: int = Field(200, ge=1, le=5000, description="Messages committed together")
    workers: int = Field(0, ge=0, description="Processes for reading; 0 is one per core")
    model: str = Field("", description="Released model; empty is the promoted one")
    fast: bool = Field(default=False, description="Read without the slower models")
    certain_from: float = Field(
        0.8, ge=0, le=1, description="A reading less sure than this is checked by a person"
    )
    templates: Path | None = Field(None, description="Folder of draft templates; empty is ours")
    office: OfficeSettings = OfficeSettings()

    @field_validator("sources", mode="before")
    @classmethod
    def _urls(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple({"url": url} for url in value.split())
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    def password_for(self, source: SourceSettings) -> str:
        """The password of *source*: its own file, else the common file, else the environment."""
        file = source.password_file or self.imap_password_file
        if file is None:
            return self.imap_password.get_secret_value()
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            msg = f"password file {file} cannot be read: {_cause(error)}"
            raise SettingsError(msg) from error


def read_settings(path: Path | None = None) -> Settings:
    """Settings from *path*, else from ``FIT_TRIAGE_CONFIG``, else ``./fit-triage.toml`` if there.

    Raises SettingsError with one line that names what was wrong and what is allowed.
    """
    named = path or (
        Path(os.environ[PREFIX + "CONFIG"]) if PREFIX + "CONFIG" in os.environ else None
    )
    file = named or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    if file is not None:
        _check_file(file)
    _check_environment()

    class Configured(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        return Configured()
    except ValidationError as error:
        raise SettingsError(_first_problem(error, file)) from None


def _check_file(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            found = tomllib.load(stream)
    except OSError as error:
        msg = f"configuration {file} cannot be read: {_cause(error)}"
        raise SettingsError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"configuration {file} is not TOML: {error}"
        raise SettingsError(msg) from error
    if "imap_password" in found:
        msg = (
            f"configuration {file}: imap_password does not belong in the file; "
            f"use imap_password_file or the environment variable {PREFIX}IMAP_PASSWORD"
        )
        raise SettingsError(msg)


def _check_environment() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {PREFIX + "CONFIG"}
    for name in os.environ:
        if name.startswith(PREFIX) and name.split("__")[0] not in known:
            msg = f"environment variable {name} is no setting; allowed: {', '.join(sorted(known))}"
            raise SettingsError(msg)


def _first_problem(error: ValidationError, file: Path | None) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    where = f"configuration {file}, {name}" if file else f"setting {name}"
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown setting; allowed: {', '.join(_allowed_beside(first['loc']))}"
    return f"{where}: {first['msg']}"


def _allowed_beside(location: tuple[int | str, ...]) -> list[str]:
    models: dict[str, Any] = {"sources": SourceSettings, "office": OfficeSettings}
    model = models.get(str(location[0]), Settings) if len(location) > 1 else Settings
    return sorted(set(model.model_fields) - {"imap_password"})


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
