"""One frozen Settings, and what the rest of the program is handed of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from settings.privacy import RetentionSettings
from settings.sections import (
    CertaintySettings,
    EncryptionSettings,
    EscalationStep,
    LivechatSettings,
    MailSettings,
    OAuthSettings,
    OfficeSettings,
    OutboxSettings,
    RegistrySettings,
    ReviewSettings,
    SettingsError,
    ShadowSettings,
    SourceSettings,
    UnconfirmedSettings,
    WatchSettings,
    cause_of,
    secret_in,
)
from settings.upkeep import AlertSettings, BackupSettings

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from ingest.parsing import ParseOptions
    from ingest.sources import Access, AccessTokens
    from triage.conversation import Rules
    from triage.deadlines import OfficeHours
    from triage.limits import Limits
    from triage.policy import Thresholds
    from triage.wording import Wording

#: Every environment variable of ours begins so.
PREFIX = "FIT_TRIAGE_"
Start = Literal["history", "now"]


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
    encryption: EncryptionSettings = EncryptionSettings()
    watch: WatchSettings = WatchSettings()
    registry: RegistrySettings = RegistrySettings()
    outbox: OutboxSettings = OutboxSettings()
    mail: MailSettings = MailSettings()
    livechat: LivechatSettings = LivechatSettings()
    unconfirmed: UnconfirmedSettings = UnconfirmedSettings()
    alerts: AlertSettings = AlertSettings()
    backup: BackupSettings = BackupSettings()
    log: Literal["plain", "json"] = Field("plain", description="How the log is written")
    retention: RetentionSettings = RetentionSettings()
    review: ReviewSettings = ReviewSettings()
    shadow: ShadowSettings = ShadowSettings()
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

    @property
    def answers_chats(self) -> bool:
        """Whether answers can be posted into the live chat, on a person's click."""
        return bool(self.livechat.admin_id and self.workspace())

    def workspace(self) -> SourceSettings | None:
        """The live chat that is answered, None where no source reads one over its API."""
        wanted = self.livechat.workspace
        over_api = [spec for spec in self.sources if spec.url.startswith("livechat+")]
        if not wanted:
            return over_api[0] if over_api else None
        for spec in over_api:
            if spec.url == wanted:
                return spec
        raise SettingsError(f"livechat.workspace is none of the livechat+ sources: {wanted}")

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
        return secret_in("password", file)

    def _tokens_for(self, source: SourceSettings, oauth: OAuthSettings) -> AccessTokens:
        from ingest.oauth import token_source
        from ingest.sources import mailbox_of

        # Read again whenever a token is asked for; here only so that a slip shows at the start.
        for what, file in (
            ("client secret", oauth.client_secret_file),
            ("refresh token", oauth.refresh_token_file),
        ):
            if file is not None and not secret_in(what, file):
                raise SettingsError(f"{what} file {file} is empty")
        mailbox = source.user or mailbox_of(source.url)
        return token_source(oauth.grant(self.imap_timeout, mailbox))


def _templates(folder: Path | Traversable) -> dict[str, str]:
    """The templates in *folder* by file name; what is no template is left alone."""
    try:
        files = [item for item in folder.iterdir() if item.name.endswith(".j2")]
        return {item.name: item.read_text("utf-8") for item in files}
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"templates in {folder} cannot be read: {cause_of(error)}") from error
