"""What operations copy from the handbook must work as it stands there."""

import re
from pathlib import Path

import typer

from review.commands import app

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_command_in_the_handbook_exists() -> None:
    command = typer.main.get_command(app)
    typed = set(
        re.findall(r"(?:`|bin/)fit-triage(?: --config \S+)? ([a-z-]+)", TEXT.replace("\n", " "))
    )

    assert {"run", "watch", "check", "health", "quarantine"} <= typed
    assert typed <= set(command.commands)
