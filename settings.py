"""One frozen Settings, read once from a TOML file and the environment.

The environment wins over the file. Passwords come from a file or the environment, never from
arguments, and are never shown. An unknown name is an error that lists the known ones, because a
misspelt setting that is silently ignored is found only when it hurts.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from ingest.oauth import OAuth
    from ingest.parsing import ParseOptions
    from ingest.sources import Access, AccessTokens
    from triage.conversation import Rules
    from triage.deadlines import OfficeHours
    from triage.limits import Limits
    from triage.policy import Thresholds
    from triage.wording import Wording

PREFIX = "FIT_TRIAGE_"
Start = Literal["history", "now"]
DEFAULT_FILE = Path("fit-triage.toml")
_ENVIRONMENT_ONLY = (
    ("imap_password",),
    ("outbox", "webhook_secrets"),
    ("mail", "password"),
    ("livechat", "token"),
    ("livechat", "webhook_secrets"),
)


class SettingsError(Exception):
    """The configuration cannot be used; the message names the setting and what is allowed."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OAuthSettings(_Section):
    """How a mailbox is opened that takes no password; the secrets stay in their files."""

    flow: Literal["client_credentials", "refresh_token", "service_account"]
    token_url: str = Field(description="google, microsoft, or the https:// address of another")
    tenant: str = Field("", description="Directory id or domain, for microsoft")
    client_id: str = Field("", description="The application's; a service account's key names it")
    client_secret_file: Path | None = Field(None, description="File that holds the client secret")
    refresh_token_file: Path | None = Field(None, description="Replaced at each rotation")
    key_file: Path | None = Field(None, description="JSON file with a service account's key")
    scope: str = Field("", description="Empty is the provider's scope for IMAP")
    refresh_token_days: float | None = Field(None, gt=0, description="Its life, if not told")
    expires_on: date | None = Field(None, description="When client secret or consent end")
    allow_loopback_http: bool = Field(default=False, description="For tests on this machine")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        provider = self.token_url
        secret = {"client_credentials": "client_secret_file", "service_account": "key_file"}
        if getattr(self, needed := secret.get(self.flow, "refresh_token_file")) is None:
            msg = f"the flow {self.flow} needs {needed}"
        elif self.flow != "service_account" and not self.client_id:
            msg = f"the flow {self.flow} needs client_id"
        elif self.flow == "client_credentials" and provider == "google":
            msg = "Google has no flow client_credentials for mail; use service_account"
        elif provider == "microsoft" and not self.tenant:
            msg = "microsoft needs tenant: the directory's id or domain"
        else:
            return self
        raise ValueError(msg)

    def grant(self, timeout_s: float, mailbox: str = "") -> OAuth:
        """As `ingest.oauth` takes it, for *mailbox* where a service account acts for it."""
        from ingest.oauth import PROVIDERS, SCOPES, OAuth

        same = {"flow", "client_id", "client_secret_file", "refresh_token_file", "key_file"}
        address = PROVIDERS.get(self.token_url, self.token_url)
        return OAuth(
            **self.model_dump(include={*same, "allow_loopback_http"}),
            token_url=address.format(tenant=self.tenant) if self.tenant else address,
            scope=self.scope or SCOPES.get((self.token_url, self.flow), ""),
            mailbox=mailbox if self.flow == "service_account" else "",
            timeout_s=timeout_s,
        )


class SourceSettings(_Section):
    """One mailbox folder. Only ``url`` is needed for files; IMAP needs a password as well."""

    url: str
    user: str = Field("", description="Login user, where it differs from the mailbox address")
    password_file: Path | None = Field(None, description="File that holds the password")
    ca_file: Path | None = Field(None, description="CA certificate, where it is not a public one")
    allow_plaintext: bool = Field(default=False, description="Allow imap:// without TLS")
    tag: str = Field("", description="IMAP keyword set on stored messages; empty leaves all as is")
    oauth: OAuthSettings | None = Field(None, description="Access tokens instead of a password")


class OfficeSettings(_Section):
    """When somebody is there to act, in Europe/London."""

    days: tuple[int, ...] = Field((0, 1, 2, 3, 4), description="Working days, Monday is 0")
    opens: time = Field(time(9), description="Local time")
    closes: time = Field(time(17), description="Local time")
    notice_hours: float = Field(1, ge=0, description="Office hours needed before a session")
    region: Literal["ENG", "SCT", "WLS", "NIR"] = Field("ENG", description="Whose bank holidays")

    @field_validator("days")
    @classmethod
    def _week_days(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        if not days or not set(days) <= set(range(7)):
            msg = "give at least one day; allowed are 0 (Monday) to 6 (Sunday)"
            raise ValueError(msg)
        return days


class EscalationStep(_Section):
    """From so many office hours before a deadline, somebody is to look."""

    hours: float = Field(ge=0, description="Office hours left; 0 is once the deadline has passed")
    who: str = Field(min_length=1, description="Who is to look, as the queue shows it")


class UnconfirmedSettings(_Section):
    """Rule 7: sessions left unconfirmed, counted per therapist over a rolling window."""

    window_days: int = Field(90, ge=1, description="How far back sessions count")
    warn_at: int = Field(2, ge=1, description="From so many on there is a warning")
    pause_at: int = Field(4, ge=1, description="From so many on the profile may be paused")

    @model_validator(mode="after")
    def _warns_in_time(self) -> Self:
        if self.warn_at < self.pause_at:
            return self
        raise ValueError("warn_at must be below pause_at, or the warning comes too late")


class RegistrySettings(_Section):
    """Where the booking registry comes from, and when it is out of date."""

    database_url: SecretStr = Field(SecretStr(""), description="The platform's database")
    sessions_query: Path | None = Field(None, description="File with one SELECT")
    therapists_query: Path | None = Field(None, description="File with one SELECT")
    clients_query: Path | None = Field(None, description="File with one SELECT")
    stale_hours: float = Field(36, gt=0, description="Older is said wherever it matters")


class WatchSettings(_Section):
    """How `fit-triage watch` goes about; times in seconds."""

    interval: float = Field(300, ge=1, description="Between two looks, give or take a tenth")
    idle: bool = Field(default=True, description="Let servers tell of new mail (IMAP IDLE)")
    idle_renew: float = Field(480, ge=1, le=540, description="How long to believe a silent one")


class OutboxSettings(_Section):
    """How the booking platform learns what people decided: signed webhooks, or files."""

    webhook_url: str = Field("", description="https:// address of the platform's receiver")
    webhook_secret_files: tuple[Path, ...] = Field((), description="Each signs; two to rotate")
    webhook_secrets: SecretStr = Field(SecretStr(""), description="Environment only")
    webhook_ca_file: Path | None = Field(None, description="CA, where it is not a public one")
    webhook_timeout: float = Field(20, gt=0, le=60, description="Seconds for a whole answer")
    allow_loopback_http: bool = Field(default=False, description="For tests on this machine")
    export_folder: Path | None = Field(None, description="Files instead of webhooks")
    undo_seconds: float = Field(30, ge=0, description="Before anything leaves; mail as well")
    with_runs: bool = Field(default=True, description="`run` and `watch` deliver as well")

    @model_validator(mode="after")
    def _goes_one_way(self) -> Self:
        scheme, _, rest = self.webhook_url.partition("://")
        near = self.allow_loopback_http and rest.startswith(("127.0.0.1", "localhost", "[::1]"))
        if self.webhook_url and self.export_folder:
            msg = "give webhook_url or export_folder, not both: everything leaves once"
        elif self.webhook_url and not (scheme == "https" or (scheme == "http" and near)):
            msg = "webhook_url must begin with https://"
        else:
            return self
        raise ValueError(msg)

    def secrets(self) -> tuple[str, ...]:
        """The signing secrets, from their files and the environment."""
        files = (_secret("webhook secret", file) for file in self.webhook_secret_files)
        return (*files, *self.webhook_secrets.get_secret_value().split())


class MailSettings(_Section):
    """How letters leave: sent over SMTP, or put among the drafts of a mailbox."""

    sender: str = Field("", description="Whom they are from: Support <support@clinic.example>")
    server: str = Field("", description="smtps://user@host[:465] or smtp://user@host[:587]")
    password: SecretStr = Field(SecretStr(""), description="Environment only")
    password_file: Path | None = Field(None, description="Without any, the mailbox's own login")
    ca_file: Path | None = Field(None, description="CA, where it is not a public one")
    allow_plaintext: bool = Field(default=False, description="smtp:// without TLS")
    timeout: float = Field(30, gt=0, description="Seconds that any step may take")
    mailbox: str = Field("", description="Source with drafts and sent mail; else the first IMAP")
    drafts: str = Field("", description="Folder, where the server does not say which")
    sent: str = Field("", description="Likewise")

    def own_password(self) -> str:
        """The password for SMTP, "" where the mailbox's login serves."""
        if self.password_file is None:
            return self.password.get_secret_value()
        return _secret("password", self.password_file)


class LivechatSettings(_Section):
    """The live chat's workspace (Intercom): how it is opened, and what it proves."""

    token: SecretStr = Field(SecretStr(""), description="Environment only")
    token_file: Path | None = Field(None, description="For sources without a password_file")
    webhook_secret_files: tuple[Path, ...] = Field((), description="The app's client secret")
    webhook_secrets: SecretStr = Field(SecretStr(""), description="Environment only")
    identity_verified: bool = Field(
        default=False, description="It is enforced there, and covers e-mail addresses"
    )
    admin_id: str = Field("", description="Teammate in whose name answers are posted")

    def access_token(self) -> str:
        if self.token_file is None:
            return self.token.get_secret_value()
        return _secret("live-chat token", self.token_file)

    def secrets(self) -> tuple[str, ...]:
        """What webhooks are signed with, from files and the environment."""
        files = (_secret("live-chat secret", file) for file in self.webhook_secret_files)
        return (*files, *self.webhook_secrets.get_secret_value().split())


class CertaintySettings(_Section):
    """How sure a reading must be; a case that rests on one less sure is checked by a person.

    None is the threshold that the released model has recorded, with its stated bound on the error.
    """

    kind: float | None = Field(None, ge=0, le=1, description="What is asked for")
    told: float | None = Field(None, ge=0, le=1, description="That the client was told")
    session: float | None = Field(None, ge=0, le=1, description="Which session is meant")


class Settings(BaseSettings):
    """Everything that operations can choose. ``docs/settings.md`` lists it."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )

    database_url: str = Field("sqlite:///fit-triage.sqlite3", description="Or postgresql+psycopg:")
    sources: Annotated[tuple[SourceSettings, ...], NoDecode] = Field((), description="Mailboxes")
    authserv_id: str = Field("", description="Whose Authentication-Results are believed")
    check_dkim: bool = Field(default=False, description="Check DKIM signatures ourselves as well")
    own_addresses: str = Field("", description="That we send from, separated by blanks")
    documents: Literal["unread", "read"] = Field("unread", description="Attached PDF and Word")
    imap_password: SecretStr = Field(SecretStr(""), description="Environment only")
    imap_password_file: Path | None = Field(None, description="For sources without their own")
    imap_ca_file: Path | None = Field(None, description="For sources without their own")
    imap_timeout: float = Field(30, gt=0, description="Seconds that any IMAP command may take")
    start: Start = Field("history", description="Where a first connection begins to read")
    max_message_bytes: int = Field(25 * 2**20, gt=0, description="Larger mail is quarantined")
    batch_size: int = Field(200, ge=1, le=5000, description="Messages committed together")
    workers: int = Field(0, ge=0, description="Processes for reading; 0 is one per core")
    model: str = Field("", description="Released model; empty is the promoted one")
    fast: bool = Field(default=False, description="Read without the slower models")
    templates: Path | None = Field(None, description="Your own templates, in place of ours")
    office: OfficeSettings = OfficeSettings()
    certainty: CertaintySettings = CertaintySettings()
    watch: WatchSettings = WatchSettings()
    registry: RegistrySettings = RegistrySettings()
    outbox: OutboxSettings = OutboxSettings()
    mail: MailSettings = MailSettings()
    livechat: LivechatSettings = LivechatSettings()
    unconfirmed: UnconfirmedSettings = UnconfirmedSettings()
    escalation: tuple[EscalationStep, ...] = Field(
        tuple(
            EscalationStep(hours=hours, who=who)
            for hours, who in ((8, "the team"), (2, "whoever is on shift"), (0, "the team lead"))
        ),
        description="Who is to look as a deadline comes nearer",
    )

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

    def access_to(self, source: SourceSettings) -> Access:
        """What reading *source* needs beside its name, password included."""
        from ingest.sources import Access

        return Access(
            password="" if source.oauth else self._password_for(source),
            ca_file=str(source.ca_file or self.imap_ca_file or ""),
            allow_plaintext=source.allow_plaintext,
            timeout_s=self.imap_timeout,
            max_message_bytes=self.max_message_bytes,
            user=source.user,
            tokens=self._tokens_for(source, source.oauth) if source.oauth else None,
        )

    def parsing(self) -> ParseOptions:
        from ingest.parsing import ParseOptions

        own = frozenset(self.own_addresses.lower().split())
        return ParseOptions(
            self.authserv_id,
            self.check_dkim,
            own,
            self.documents,
            chat_identity_verified=self.livechat.identity_verified,
        )

    def office_hours(self, now: datetime) -> OfficeHours:
        """The office as configured, with the bank holidays of the years around *now*."""
        from holidays import country_holidays

        from triage.deadlines import OfficeHours

        office, years = self.office, range(now.year - 1, now.year + 3)
        return OfficeHours(
            days=frozenset(office.days),
            opens=office.opens,
            closes=office.closes,
            holidays=frozenset(country_holidays("GB", subdiv=office.region, years=years)),
            notice=timedelta(hours=office.notice_hours),
        )

    def rules(self, now: datetime) -> Rules:
        """Everything that decisions made at *now* rest on."""
        from triage.conversation import Rules

        known = self.office_hours(now), self.thresholds(), self.wording(), self.limits()
        return Rules(now, *known)

    def limits(self) -> Limits:
        from triage.limits import Limits

        lost, stale = self.unconfirmed, timedelta(hours=self.registry.stale_hours)
        return Limits(timedelta(days=lost.window_days), lost.warn_at, lost.pause_at, stale)

    def thresholds(self) -> Thresholds:
        """The release's own, but for those that operations set."""
        from models.thresholds import released

        own = self.certainty.model_dump(exclude_none=True)
        return replace(released(self.model, fast=self.fast), **own)

    def wording(self) -> Wording:
        """The draft templates, ours with operations' own in their place; a slip shows here."""
        from triage.wording import Wording, WordingError

        try:
            wording = Wording.from_sources(_templates(resources.files("triage") / "templates"))
            return wording.with_own(_templates(self.templates)) if self.templates else wording
        except WordingError as error:
            raise SettingsError(f"templates in {self.templates or 'triage'}: {error}") from error

    def _password_for(self, source: SourceSettings) -> str:
        """The password of *source*: its own file, else the common file, else the environment."""
        if source.password_file is None and source.url.startswith("livechat"):
            return self.livechat.access_token()  # a mailbox's password is nothing for a chat
        file = source.password_file or self.imap_password_file
        if file is None:
            return self.imap_password.get_secret_value()
        return _secret("password", file)

    def _tokens_for(self, source: SourceSettings, oauth: OAuthSettings) -> AccessTokens:
        from ingest.oauth import token_source
        from ingest.sources import mailbox_of

        # Read again whenever a token is asked for; here only so that a slip shows at the start.
        for what, file in (
            ("client secret", oauth.client_secret_file),
            ("refresh token", oauth.refresh_token_file),
        ):
            if file is not None and not _secret(what, file):
                raise SettingsError(f"{what} file {file} is empty")
        mailbox = source.user or mailbox_of(source.url)
        return token_source(oauth.grant(self.imap_timeout, mailbox))


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
    return sorted(set(model.model_fields) - {names[-1] for names in _ENVIRONMENT_ONLY})


def _secret(what: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        msg = f"{what} file {file} cannot be read: {_cause(error)}"
        raise SettingsError(msg) from error


def _templates(folder: Path | Traversable) -> dict[str, str]:
    """The templates in *folder* by file name; what is no template is left alone."""
    try:
        files = [item for item in folder.iterdir() if item.name.endswith(".j2")]
        return {item.name: item.read_text("utf-8") for item in files}
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"templates in {folder} cannot be read: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
