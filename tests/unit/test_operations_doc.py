"""What operations copy from the handbook must work as it stands there."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from review.commands import app

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
UNITS = dict(re.findall(r"`/etc/systemd/system/([\w.-]+)`:\n\n```ini\n(.*?)```", TEXT, re.DOTALL))


def test_every_command_in_the_handbook_exists() -> None:
    command = typer.main.get_command(app)
    typed = set(
        re.findall(r"(?:`|bin/)fit-triage(?: --config \S+)? ([a-z-]+)", TEXT.replace("\n", " "))
    )

    assert {"run", "watch", "check", "health", "quarantine"} <= typed
    assert typed <= set(command.commands)


def test_the_units_are_understood_by_systemd(tmp_path: Path) -> None:
    assert set(UNITS) == {"fit-triage-watch.service", "fit-triage.service", "fit-triage.timer"}
    for name, text in UNITS.items():
        unit = configparser.ConfigParser(strict=True, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment]  # names are as they are written
        unit.read_string(text)
        assert "Unit" in unit
        (tmp_path / name).write_text(re.sub(r"/opt/\S+/fit-triage", "/bin/true", text))
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed; on Debian as root: apt-get install systemd")

    verdict = subprocess.run(
        ["systemd-analyze", "verify", *sorted(tmp_path.iterdir())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert verdict.returncode == 0, verdict.stderr
    assert "fit-triage" not in verdict.stderr
