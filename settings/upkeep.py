"""The sections of the settings about keeping the program well: alerts and backups."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from settings.sections import Section, is_safe, secret_in


class AlertSettings(Section):
    """Whom `fit-triage alerts` tells, how often, and from when on something is a problem."""

    command: tuple[str, ...] = Field((), description="Program and arguments; JSON on its input")
    webhook_url: str = Field("", description="https:// address; signed as the outbox's are")
    webhook_secret_files: tuple[Path, ...] = Field((), description="Each signs; two to rotate")
    webhook_secrets: SecretStr = Field(SecretStr(""), description="Environment only")
    webhook_ca_file: Path | None = Field(None, description="CA, where it is not a public one")
    allow_loopback_http: bool = Field(default=False, description="For tests on this machine")
    mail_to: str = Field("", description="Addresses, separated by blanks; by `mail.server`")
    timeout: float = Field(30, gt=0, le=300, description="Seconds that telling may take")
    remind_hours: float = Field(24, ge=0, description="Told again after; 0 is never")
    calm_minutes: float = Field(10, ge=0, description="Well for so long before it is said")
    late_hours: float = Field(24, gt=0, description="Without a run that succeeded")
    unworked_hours: float = Field(72, gt=0, description="A case that nobody has touched")
    state_file: Path = Field(
        Path("fit-triage-alerts.json"), description="What was told while no database answered"
    )

    @field_validator("command", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _goes_safely(self) -> Self:
        if self.webhook_url and not is_safe(self.webhook_url, loopback=self.allow_loopback_http):
            msg = "webhook_url must begin with https:// and name a host"
            raise ValueError(msg)
        return self

    def secrets(self) -> tuple[str, ...]:
        """The signing secrets, from their files and the environment."""
        files = (secret_in("webhook secret", file) for file in self.webhook_secret_files)
        return (*files, *self.webhook_secrets.get_secret_value().split())


class BackupSettings(Section):
    """Where backups go, how many are kept, and when the last one is too old."""

    folder: Path | None = Field(None, description="For `fit-triage backup` without --to")
    keep: int = Field(0, ge=0, description="So many of the newest; 0 keeps all")
    stale_hours: float = Field(36, gt=0, description="Older is a problem, where folder is set")
