"""``fit-triage sign-in``: a person opens a mailbox that takes no password, once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from review.desk import UsageProblemError
from settings import OAuthSettings, Settings, SourceSettings

Device = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Device authorization endpoint of another provider."),
]


def sign_in(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="As `url` in the settings has it.")] = None,
    device: Device = None,
) -> None:
    """Sign in to a mailbox with the flow refresh_token; its token goes into its file."""
    from ingest.signing_in import BROWSER_PAGES, DEVICE_PAGES
    from ingest.sources import mailbox_of

    settings: Settings = context.obj.settings()
    spec, oauth = _chosen(settings, source)
    page = device or DEVICE_PAGES.get(oauth.token_url, "").format(tenant=oauth.tenant)
    if page:
        _by_code(settings, oauth, page)
    elif oauth.token_url in BROWSER_PAGES:
        _by_browser(settings, oauth, spec.user or mailbox_of(spec.url))
    else:
        raise UsageProblemError("how does this provider let people sign in? Give its --device URL")
    typer.echo(f"Signed in; the token is in {oauth.refresh_token_file}. Try `fit-triage check`.")


def _chosen(settings: Settings, url: str | None) -> tuple[SourceSettings, OAuthSettings]:
    asked = [spec for spec in settings.sources if spec.oauth and spec.oauth.flow == "refresh_token"]
    found = [spec for spec in asked if url in {None, spec.url}]
    if len({spec.oauth for spec in found}) == 1 and found[0].oauth:
        return found[0], found[0].oauth
    allowed = ", ".join(spec.url for spec in asked) or "none, for none has the flow refresh_token"
    raise UsageProblemError(f"say which mailbox; allowed: {allowed}")


def _by_code(settings: Settings, oauth: OAuthSettings, page: str) -> None:
    from ingest.signing_in import invitation, wait_for_person

    grant = oauth.grant(settings.imap_timeout)
    invited = invitation(grant, page)
    typer.echo(f"Open {invited.page} anywhere, type {invited.code}, and sign in.")
    sys.stdout.flush()
    wait_for_person(grant, invited)


def _by_browser(settings: Settings, oauth: OAuthSettings, user: str) -> None:
    from ingest.signing_in import BROWSER_PAGES, come_back, visit

    grant = oauth.grant(settings.imap_timeout)
    visited = visit(grant, BROWSER_PAGES[oauth.token_url], user)
    typer.echo(f"Open this address in a browser and sign in as {user}:\n\n{visited.address}\n")
    typer.echo("The browser ends at an address at 127.0.0.1 that it cannot open. That is as it")
    answer = typer.prompt("should be. Copy that address whole and paste it here")
    come_back(grant, visited, answer)
