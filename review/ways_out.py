"""The ways out of the system as the settings have them; nothing is connected before it is used."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ingest.sources import Known, SourceError, open_source
from review.outcomes import Carrier
from settings import Settings, SettingsError, SourceSettings
from triage.verdicts import Channel

if TYPE_CHECKING:
    from ingest.imap_drafts import Letterbox
    from review.smtp import Server


def carriers(settings: Settings, known: Known = lambda _: set()) -> dict[Channel, Carrier]:
    """The ways out that are configured.

    *known* tells which messages have been read: an answer to a chat waits for those that were not.

    Raises:
        SettingsError: One of them is configured wrongly.

    """
    found: dict[Channel, Carrier] = {}
    if platform := _platform(settings):
        found["platform"] = platform
    if settings.answers_chats:
        found["chat"] = _chat(settings, known)
    if settings.mail.sender:
        found |= _letters(settings)
    elif settings.mail.server:
        raise SettingsError("mail.server is set, and mail.sender is not: whom are letters from?")
    return found


def _platform(settings: Settings) -> Carrier | None:
    from review.webhooks import Endpoint, EndpointError, ExportFolder, Webhooks

    chosen = settings.outbox
    if chosen.export_folder:
        return ExportFolder(chosen.export_folder)
    if not chosen.webhook_url:
        return None
    try:
        endpoint = Endpoint(
            chosen.webhook_url,
            chosen.secrets(),
            str(chosen.webhook_ca_file or ""),
            chosen.webhook_timeout,
        )
    except EndpointError as error:
        raise SettingsError(str(error)) from None
    return Webhooks(endpoint)


def _chat(settings: Settings, known: Known) -> Carrier:
    from ingest.livechat_api import ConversationApi
    from review.chat_answers import ChatAnswers

    workspace = settings.workspace()

    def open_chat() -> ConversationApi:
        try:
            chat = workspace and open_source(workspace.url, settings.access_to(workspace))
        except SettingsError as error:  # a file that was there at the start; it may come back
            raise SourceError(str(error)) from None
        if not isinstance(chat, ConversationApi):
            raise SourceError("the live chat has no API")
        return chat

    return ChatAnswers(open_chat, settings.livechat.admin_id, known)


def _letters(settings: Settings) -> dict[Channel, Carrier]:
    from review.letters import Drafts, LetterError, sender_address
    from review.smtp import Post

    try:
        sender = sender_address(settings.mail.sender)
    except LetterError:
        msg = "mail.sender is no address such as Support <support@clinic.example>"
        raise SettingsError(msg) from None
    source = mailbox_of(settings)
    found: dict[Channel, Carrier] = {}
    if source is not None:
        found["drafts"] = Drafts(partial(letterbox, settings, source), sender)
    if settings.mail.server:
        has_sent = partial(_has_sent, settings, source) if source else None
        found["mail"] = Post(_server(settings, source), sender, has_sent)
    return found


def mail_server(settings: Settings) -> Server:
    """The SMTP server of the settings; raises SettingsError where there is none."""
    if not settings.mail.server:
        raise SettingsError("alerts.mail_to needs mail.server and mail.sender")
    return _server(settings, mailbox_of(settings))


def _server(settings: Settings, source: SourceSettings | None) -> Server:
    from review.smtp import Server, ServerSpecError, parse_server

    mail = settings.mail
    try:
        user, host, port, tls = parse_server(mail.server)
    except ServerSpecError as error:
        raise SettingsError(str(error)) from None
    password = mail.own_password() if user else ""
    borrowed = settings.access_to(source) if source and user and not password else None
    password = password or (borrowed.password if borrowed else "")
    tokens = borrowed.tokens if borrowed else None
    if user and not (password or tokens):
        msg = "mail.server has a user and no password: give mail.password_file, or no user"
        raise SettingsError(msg)
    return Server(
        host=host,
        port=port,
        tls=tls,
        user=user,
        password=password,
        tokens=tokens,
        ca_file=str(mail.ca_file or ""),
        allow_plaintext=mail.allow_plaintext,
        timeout_s=mail.timeout,
    )


def letterbox(settings: Settings, source: SourceSettings) -> Letterbox:
    """The drafts and sent mail of *source*'s account; may raise ``SourceError``."""
    from ingest.imap_drafts import Letterbox

    try:
        access = settings.access_to(source)
    except SettingsError as error:  # a file that was there at the start; it may come back
        raise SourceError(str(error)) from None
    return Letterbox(source.url, access, drafts=settings.mail.drafts, sent=settings.mail.sent)


def _has_sent(settings: Settings, source: SourceSettings, message_id: str) -> bool:
    with letterbox(settings, source) as box:
        return box.has_sent(message_id)


def mailbox_of(settings: Settings) -> SourceSettings | None:
    """The source whose account holds drafts and sent mail, None where there is none on IMAP."""
    wanted = settings.mail.mailbox
    on_imap = [spec for spec in settings.sources if spec.url.startswith(("imap:", "imaps:"))]
    if not wanted:
        return on_imap[0] if on_imap else None
    for spec in on_imap:
        if spec.url == wanted:
            return spec
    raise SettingsError(f"mail.mailbox is none of the IMAP sources: {wanted}")
