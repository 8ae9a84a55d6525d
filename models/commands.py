"""What the data team types: train, evaluate, list."""

from __future__ import annotations

import typer

models_app = typer.Typer(help="The classifiers: train, evaluate, list.", no_args_is_help=True)


@models_app.command("list")
def list_releases() -> None:
    """The released models; the one in use is marked."""
    from models.registry import promoted, releases

    in_use = promoted()
    for manifest in releases():
        typer.echo(f"{'*' if manifest.version == in_use else ' '} {manifest.version}")


@models_app.callback()
def models() -> None:
    """Keep ``list`` a command of its own while it is the only one."""
