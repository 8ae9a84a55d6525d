"""What operations copy from docs/deploy must work as it stands there, and may do little."""

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from review.commands import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
UNITS = sorted([*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")])
DROP_INS = sorted((DEPLOY / "fit-triage-.service.d").glob("*.conf"))
#: Of systemd's scale from 0 to 10; it calls everything below 3.0 well confined.
EXPOSURE = 25  # tenths


class Unit(configparser.RawConfigParser):
    """A unit as systemd reads it: a name may stand in several lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None)
        self.optionxform = str  # type: ignore[assignment,method-assign]  # names are as they are written
        self.read_string(path.read_text())


def commands_in(path: Path) -> list[list[str]]:
    lines = re.findall(r"^ExecStart=(.*)$", path.read_text(), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_each_timer_has_its_service_and_nothing_refers_to_what_is_not_there() -> None:
    names = {path.name for path in UNITS}

    for path in UNITS:
        unit = Unit(path)
        if path.suffix == ".timer":
            assert f"{path.stem}.service" in names
            assert unit["Install"]["WantedBy"] == "timers.target"
        else:
            assert commands_in(path)
            assert path.name.startswith("fit-triage-"), "the drop-ins are for these names alone"
        assert set(re.findall(r"fit-triage-[\w-]+\.service", path.read_text())) <= names


@pytest.mark.parametrize("path", [p for p in UNITS if p.suffix == ".service"], ids=lambda p: p.stem)
def test_each_service_types_a_command_that_there_is(path: Path) -> None:
    root: Any = typer.main.get_command(app)

    for program, *words in commands_in(path):
        assert program == "/opt/fit-triage/bin/fit-triage"
        command, rest = root, [word for word in words if word != "--fast"]
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        command.make_context("typed", rest)  # raises where there is no such option


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they would be installed, but for a program that every machine has."""
    for path in UNITS:
        text = path.read_text().replace("/opt/fit-triage/bin/fit-triage", "/bin/true")
        (tmp_path / path.name).write_text(text.replace("OnFailure=", "# OnFailure="))
    folder = tmp_path / "fit-triage-.service.d"
    folder.mkdir()
    for path in DROP_INS:
        shutil.copy(path, folder)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed; on Debian as root: apt-get install systemd")
    return tmp_path


def analyzed(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words],
        capture_output=True, text=True, check=False, env={"SYSTEMD_UNIT_PATH": f"{folder}:"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def test_the_units_are_understood_by_systemd(installed: Path) -> None:
    said = analyzed(installed, "verify", *[str(installed / path.name) for path in UNITS])

    assert "fit-triage" not in said


def test_the_services_are_confined(installed: Path) -> None:
    services = [str(installed / path.name) for path in UNITS if path.suffix == ".service"]

    analyzed(installed, "security", "--offline=true", f"--threshold={EXPOSURE}", *services)


def test_a_password_is_seen_by_the_program_alone() -> None:
    [password] = [path for path in DROP_INS if "password" in path.name]
    text = password.read_text()

    assert "LoadCredential=imap-password:" in text
    assert "FIT_TRIAGE_IMAP_PASSWORD_FILE=%d/imap-password" in text
    assert not [path for path in (*UNITS, *DROP_INS) if re.search(r"PASSWORD=", path.read_text())]


# --- the container --------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    pairs = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in pairs]


def test_the_image_is_made_from_debian_and_pypi_alone() -> None:
    made = instructions()
    bases = [rest.partition(" AS ")[0] for name, rest in made if name == "FROM"]
    ran = " && ".join(rest for name, rest in made if name == "RUN")
    started = [step.split()[0] for step in re.split(r"\s+&&\s+", ran)]

    assert bases == ["docker.io/library/debian:12-slim"] * 2
    assert not [rest for name, rest in made if name == "ADD" or "://" in rest]
    assert {word.rpartition("/")[2] for word in started} <= {
        "apt-get", "rm", "python3", "pip", "useradd", "install",
    }  # fmt: skip
    assert not re.search(r"index-url|curl|wget|git |trusted-host", ran)


def test_the_image_holds_no_compiler_and_runs_as_nobody_who_may_do_anything() -> None:
    made = instructions()
    last = made[max(n for n, (name, _) in enumerate(made) if name == "FROM") :]
    by_name = dict(last)
    installed = re.findall(r"apt-get install [^&]*", by_name["RUN"])

    assert by_name["USER"].isdecimal()
    assert int(by_name["USER"]) > 999
    assert not [line for line in installed if re.search(r"gcc|build-essential|-dev\b|pip", line)]
    assert "--no-install-recommends" in installed[0]
    assert by_name["ENTRYPOINT"] == '["/opt/fit-triage/bin/fit-triage"]'
    assert by_name["HEALTHCHECK"].endswith(
        'CMD ["/opt/fit-triage/bin/fit-triage", "health", "--alive"]'
    )
    assert [rest for name, rest in last if name == "COPY"] == [
        "--from=build /opt/fit-triage /opt/fit-triage"
    ]


def test_all_that_is_installed_gets_into_the_image_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tools = project["tool"]["setuptools"]
    needed = {name.partition(".")[0] for name in tools["packages"]}
    needed |= {f"{name}.py" for name in tools["py-modules"]} | {"pyproject.toml", "README.md"}
    lines = (DEPLOY / "containerignore").read_text().splitlines()

    assert {line[1:] for line in lines if line.startswith("!")} == needed
    assert lines.index("*") < min(lines.index(f"!{name}") for name in needed)
