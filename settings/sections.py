"""The sections of the settings: what each is called, what it may be, what it is for."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

if TYPE_CHECKING:
    from ingest.oauth import OAuth
    from store.keys import KeyPlace


class SettingsError(Exception):
    """The configuration cannot be used; the message names the setting and what is allowed."""


class Section(BaseModel):
    """Frozen, and refuses names that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OAuthSettings(Section):
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


class SourceSettings(Section):
    """One mailbox folder. Only ``url`` is needed for files; IMAP needs a password as well."""

    url: str
    user: str = Field("", description="Login user, where it differs from the mailbox address")
    password_file: Path | None = Field(None, description="File that holds the password")
    ca_file: Path | None = Field(None, description="CA certificate, where it is not a public one")
    allow_plaintext: bool = Field(default=False, description="Allow imap:// without TLS")
    tag: str = Field("", description="IMAP keyword set on stored messages; empty leaves all as is")
    oauth: OAuthSettings | None = Field(None, description="Access tokens instead of a password")


class OfficeSettings(Section):
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


class EscalationStep(Section):
    """From so many office hours before a deadline, somebody is to look."""

    hours: float = Field(ge=0, description="Office hours left; 0 is once the deadline has passed")
    who: str = Field(min_length=1, description="Who is to look, as the queue shows it")


class UnconfirmedSettings(Section):
    """Rule 7: sessions left unconfirmed, counted per therapist over a rolling window."""

    window_days: int = Field(90, ge=1, description="How far back sessions count")
    warn_at: int = Field(2, ge=1, description="From so many on there is a warning")
    pause_at: int = Field(4, ge=1, description="From so many on the profile may be paused")

    @model_validator(mode="after")
    def _warns_in_time(self) -> Self:
        if self.warn_at < self.pause_at:
            return self
        raise ValueError("warn_at must be below pause_at, or the warning comes too late")


class RegistrySettings(Section):
    """Where the booking registry comes from, and when it is out of date."""

    database_url: SecretStr = Field(SecretStr(""), description="The platform's database")
    sessions_query: Path | None = Field(None, description="File with one SELECT")
    therapists_query: Path | None = Field(None, description="File with one SELECT")
    clients_query: Path | None = Field(None, description="File with one SELECT")
    stale_hours: float = Field(36, gt=0, description="Older is said wherever it matters")


class WatchSettings(Section):
    """How `fit-triage watch` goes about; times in seconds."""

    interval: float = Field(300, ge=1, description="Between two looks, give or take a tenth")
    idle: bool = Field(default=True, description="Let servers tell of new mail (IMAP IDLE)")
    idle_renew: float = Field(480, ge=1, le=540, description="How long to believe a silent one")


#: This machine itself, and not a name that begins like it.
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def is_safe(address: str, *, loopback: bool) -> bool:
    """Whether secrets may go there: over TLS, or to this machine where *loopback* is allowed."""
    url = urlsplit(address)
    near = url.scheme == "http" and loopback and url.hostname in _LOOPBACK
    return bool(url.hostname) and (url.scheme == "https" or near)


class OutboxSettings(Section):
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
        safe = is_safe(self.webhook_url, loopback=self.allow_loopback_http)
        if self.webhook_url and self.export_folder:
            msg = "give webhook_url or export_folder, not both: everything leaves once"
        elif self.webhook_url and not safe:
            msg = "webhook_url must begin with https:// and name a host"
        else:
            return self
        raise ValueError(msg)

    def secrets(self) -> tuple[str, ...]:
        """The signing secrets, from their files and the environment."""
        files = (secret_in("webhook secret", file) for file in self.webhook_secret_files)
        return (*files, *self.webhook_secrets.get_secret_value().split())


class MailSettings(Section):
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
        return secret_in("password", self.password_file)


class LivechatSettings(Section):
    """The live chat's workspace (Intercom): how it is opened, and what it proves."""

    token: SecretStr = Field(SecretStr(""), description="Environment only")
    token_file: Path | None = Field(None, description="For sources without a password_file")
    webhook_secret_files: tuple[Path, ...] = Field((), description="The app's client secret")
    webhook_secrets: SecretStr = Field(SecretStr(""), description="Environment only")
    identity_verified: bool = Field(
        default=False, description="It is enforced there, and covers e-mail addresses"
    )
    admin_id: str = Field("", pattern=r"^[0-9]*$", description="Teammate who answers")
    workspace: str = Field("", description="Source that is answered; else the first over the API")

    def access_token(self) -> str:
        if self.token_file is None:
            return self.token.get_secret_value()
        return secret_in("live-chat token", self.token_file)

    def secrets(self) -> tuple[str, ...]:
        """What webhooks are signed with, from files and the environment."""
        files = (secret_in("live-chat secret", file) for file in self.webhook_secret_files)
        return (*files, *self.webhook_secrets.get_secret_value().split())


class SignInSettings(Section):
    """How a team signs in at the review page: by its OpenID provider, by passwords, or both."""

    issuer: str = Field("", description="https:// address of the OpenID provider")
    client_id: str = Field("", description="As the provider knows the review page")
    client_secret_file: Path | None = Field(None, description="Without one, PKCE alone proves us")
    label: str = Field("single sign-on", description="What the button calls the provider")
    scope: str = Field("openid profile", description="What is asked for, separated by blanks")
    name_claim: str = Field("preferred_username", description="Claim that new users are named by")
    groups_claim: str = Field("groups", description="Claim that lists somebody's groups")
    roles: dict[str, Literal["staff", "lead", "data", "admin"]] = Field(
        {}, description="Role of each group, the first that fits; empty: as the users page says"
    )
    unknown: Literal["refuse", "add"] = Field("refuse", description="Who has no user here yet")
    passwords: bool = Field(default=True, description="Whether passwords open the page as well")
    clock_skew: float = Field(60, ge=0, le=300, description="Seconds that clocks may differ")
    timeout: float = Field(10, gt=0, le=60, description="Seconds to wait for the provider")
    ca_file: Path | None = Field(None, description="CA, where it is not a public one")
    allow_loopback_http: bool = Field(default=False, description="For tests on this machine")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.issuer and not is_safe(self.issuer, loopback=self.allow_loopback_http):
            msg = "issuer must begin with https://"
        elif self.issuer and not self.client_id:
            msg = "issuer needs client_id"
        elif not self.issuer and not self.passwords:
            msg = "without passwords there must be an issuer, or nobody gets in"
        elif self.unknown == "add" and not self.roles:
            msg = 'unknown = "add" needs roles: which group has which role'
        elif "openid" not in self.scope.split():
            msg = "scope must hold openid"
        else:
            return self
        raise ValueError(msg)

    def client_secret(self) -> str:
        """The client secret, "" where there is none."""
        if self.client_secret_file is None:
            return ""
        return secret_in("client secret", self.client_secret_file)


class ReviewSettings(Section):
    """The review page."""

    sign_in: SignInSettings = SignInSettings()


class ShadowSettings(Section):
    """A candidate model that reads live mail beside the one in use, and decides nothing."""

    model: str = Field("", description="Release, or the path of one; empty for none")
    share: float = Field(1, gt=0, le=1, description="Part of the mail, by the digest of its bytes")
    until: date | None = Field(None, description="The last day of it")
    seconds: float = Field(300, gt=0, description="How long one `models shadow` may take")


class EncryptionSettings(Section):
    """Whether texts and raw bytes are sealed in the database, and where the keys for that are."""

    key_file: Path | None = Field(None, description="Of ours alone (mode 0600); see `keys new`")
    keyring: str = Field("", description="Entry of the system's keyring, in place of a file")
    search: Literal["words", "off"] = Field("words", description="Whether sealed mail is indexed")

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if self.key_file and self.keyring:
            raise ValueError("key_file and keyring are two places: set one of them")
        return self

    def place(self) -> KeyPlace | None:
        """Where the keys are; None where nothing is to be sealed."""
        from store.keys import KeyPlace

        if self.key_file is None and not self.keyring:
            return None
        return KeyPlace(self.key_file, self.keyring, searches=self.search == "words")


class CertaintySettings(Section):
    """How sure a reading must be; a case that rests on one less sure is checked by a person.

    None is the threshold that the released model has recorded, with its stated bound on the error.
    """

    kind: float | None = Field(None, ge=0, le=1, description="What is asked for")
    told: float | None = Field(None, ge=0, le=1, description="That the client was told")
    session: float | None = Field(None, ge=0, le=1, description="Which session is meant")


def secret_in(what: str, file: Path) -> str:
    """What *file* holds, without the white space around it. Raises SettingsError."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        msg = f"{what} file {file} cannot be read: {cause_of(error)}"
        raise SettingsError(msg) from error


def cause_of(error: Exception) -> str:
    """Why a file cannot be read, without its contents."""
    return getattr(error, "strerror", None) or type(error).__name__
