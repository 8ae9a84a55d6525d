"""Settings from a TOML file and the environment, and what is said of a slip in them."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from settings.configuration import PREFIX, Settings
from settings.sections import (
    EscalationStep,
    OAuthSettings,
    SettingsError,
    SignInSettings,
    SourceSettings,
    cause_of,
)

DEFAULT_FILE = Path("fit-triage.toml")
_ENVIRONMENT_ONLY = (
    ("imap_password",),
    ("outbox", "webhook_secrets"),
    ("mail", "password"),
    ("livechat", "token"),
    ("livechat", "webhook_secrets"),
    ("alerts", "webhook_secrets"),
)


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
        msg = f"configuration {file} cannot be read: {cause_of(error)}"
        raise SettingsError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"configuration {file} is not TOML: {error}"
        raise SettingsError(msg) from error
    for *section, name in _ENVIRONMENT_ONLY:
        held = found.get(section[0], {}) if section else found
        if isinstance(held, dict) and name in held:
            variable = PREFIX + "__".join([*section, name]).upper()
            instead = f"{name[:-1]}_files" if name.endswith("s") else f"{name}_file"
            msg = (
                f"configuration {file}: {name} does not belong in the file; "
                f"use {instead} or the environment variable {variable}"
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
    model: Any = Settings
    if len(location) > 1:
        listed = {"sources": SourceSettings, "escalation": EscalationStep}
        name = str(location[0])
        model = listed.get(name) or Settings.model_fields[name].annotation
    if "oauth" in location[:-1]:
        model = OAuthSettings
    if "sign_in" in location[:-1]:
        model = SignInSettings
    return sorted(set(model.model_fields) - {names[-1] for names in _ENVIRONMENT_ONLY})
