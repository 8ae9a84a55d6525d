"""``fit-triage users``: who may sign in at the review page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from review.desk import AsJson, UsageProblemError, console, print_json, store_of
from review.typed import login
from store import Store
from store.accounts import Role

users_app = typer.Typer(help="Who may sign in at the review page.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="As they sign in; capitals do not matter.")]
_Role = Annotated[Role, typer.Argument(help="What they may do: see `docs/operations.md`.")]
_File = Annotated[
    Path | None, typer.Option(help="First line of a file, instead of being asked for it.")
]
_At = Annotated[str, typer.Option(help="The address of the review page, for the link.")]
_HERE: Final = "http://127.0.0.1:8380"


@users_app.command("add")
def users_add(
    context: typer.Context,
    name: _Name,
    role: _Role,
    password_file: _File = None,
    *,
    invite: Annotated[bool, typer.Option("--invite", help="A link instead of a password.")] = False,
    at: _At = _HERE,
) -> None:
    """Let somebody sign in. From the first user on there is no one-time link any more."""
    hashed = "" if invite else _new_hash(name, password_file)
    with store_of(context.obj.settings()) as store:
        store.accounts.add(name, role, hashed, by=login(), now=datetime.now(UTC))
        console().print("added")
        if invite:
            typer.echo(_link(store, name, at))


@users_app.command("invite")
def users_invite(context: typer.Context, name: _Name, at: _At = _HERE) -> None:
    """Print a link by which somebody sets their password, or names their provider's account.

    It works once, within a day; an earlier one works no more.
    """
    with store_of(context.obj.settings()) as store:
        typer.echo(_link(store, name, at))


@users_app.command("list")
def users_list(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Everybody who may or might sign in."""
    with store_of(context.obj.settings()) as store:
        found = store.accounts.users()
    for user in found:
        standing = "disabled" if user.disabled_at else "active"
        if as_json:
            print_json({"name": user.name, "role": user.role, "standing": standing})
        else:
            console().print(f"{user.name}  {user.role}  {standing}", markup=False)


@users_app.command("role")
def users_role(context: typer.Context, name: _Name, role: _Role) -> None:
    """Give somebody another role, from their next click on."""
    with store_of(context.obj.settings()) as store:
        store.accounts.set_role(name, role, by=login(), now=datetime.now(UTC))


@users_app.command("password")
def users_password(context: typer.Context, name: _Name, password_file: _File = None) -> None:
    """Give somebody another password; they are signed out everywhere."""
    hashed = _new_hash(name, password_file)
    with store_of(context.obj.settings()) as store:
        store.accounts.set_password(name, hashed, by=login(), now=datetime.now(UTC))


@users_app.command("disable")
def users_disable(context: typer.Context, name: _Name) -> None:
    """Keep somebody out, from their next click on; what they did stays under their name."""
    with store_of(context.obj.settings()) as store:
        store.accounts.disable(name, by=login(), now=datetime.now(UTC))


@users_app.command("enable")
def users_enable(context: typer.Context, name: _Name) -> None:
    """Let somebody in again who was kept out."""
    with store_of(context.obj.settings()) as store:
        store.accounts.enable(name, by=login(), now=datetime.now(UTC))


def _link(store: Store, name: str, at: str) -> str:
    from review.access.door import Door, invite

    return f"{at.rstrip('/')}/invitation?token={invite(Door(store), name, by=login())}"


def _new_hash(name: str, password_file: Path | None) -> str:
    from review.access.passwords import PasswordRefusedError, password_hash

    if password_file is None:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        try:
            password = password_file.read_text("utf-8").split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError):
            raise UsageProblemError("the password's file cannot be read") from None
    try:
        return password_hash(password, name.strip())
    except PasswordRefusedError as error:
        raise UsageProblemError(str(error)) from None
