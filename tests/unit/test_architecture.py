"""What holds the parts apart, beyond the import contracts of `lint-imports`."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest", "triage", "models", "store", "review")

#: Who may import a library. Others get what it makes as plain values.
OWNERS = {
    "alembic": ("store/",),
    "argon2": ("review/access/passwords.py",),
    "authlib": ("review/access/provider.py",),
    "authres": ("ingest/authentication.py",),
    "cleanlab": ("models/doubts.py",),
    "distributed": ("ingest/cluster.py",),
    "dkim": ("ingest/authentication.py",),
    "docx": ("ingest/documents.py",),
    "imapclient": ("ingest/imap",),
    "jinja2": ("triage/wording.py", "models/report.py", "review/web/"),
    "joserfc": ("review/access/provider.py",),
    "jwt": ("ingest/service_account.py",),
    "mailparser": ("ingest/",),
    "matplotlib": ("models/plots.py", "models/report.py"),
    "onnx": ("models/averaging.py", "models/graph.py"),
    "oauthlib": ("ingest/oauth.py", "ingest/signing_in.py"),
    "pandas": ("models/", "review/learning.py", "store/"),
    "psycopg": ("store/",),
    "pypdf": ("ingest/documents.py",),
    "rapidfuzz": ("triage/",),
    "requests": (
        "ingest/livechat_line.py",
        "ingest/oauth.py",
        "review/access/provider.py",
        "review/webhooks.py",
    ),
    "rich": ("review/", "models/terminal.py"),
    "selectolax": ("ingest/html.py",),
    "sklearn": ("models/",),
    "spacy": ("triage/language.py", "models/formats.py"),
    "smtplib": ("review/smtp.py",),
    "sqlalchemy": ("store/",),
    "standardwebhooks": ("review/webhooks.py",),
    "typer": ("review/", "models/"),
}
HEAVY = (
    "alembic", "authlib", "cryptography", "distributed", "joserfc", "jwt", "mailparser", "numpy",
    "oauthlib", "pandas", "pyarrow", "requests", "scipy", "sklearn", "spacy",
)  # fmt: skip


def sources() -> Iterator[Path]:
    yield ROOT / "pipeline.py"
    for package in (*PACKAGES, "settings"):
        yield from (ROOT / package).rglob("*.py")


@cache
def imported(path: Path) -> frozenset[str]:
    """The top-level names of everything that *path* imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return frozenset(found)


@pytest.mark.parametrize(("library", "owners"), OWNERS.items())
def test_each_library_has_its_owner(library: str, owners: tuple[str, ...]) -> None:
    strangers = [
        name
        for path in sources()
        if library in imported(path)
        and not (name := path.relative_to(ROOT).as_posix()).startswith(owners)
    ]

    assert strangers == []


def test_modules_stay_short_enough_to_read() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sources()
        if "migrations" not in path.parts
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }

    assert long == {}


def test_asking_for_help_loads_no_heavy_library() -> None:
    program = (
        "import sys\nimport pipeline\nsys.argv = ['fit-triage', '--help']\n"
        "try:\n    pipeline.main()\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(set({HEAVY!r}) & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )

    assert done.stderr.strip() == ""


def test_every_command_is_in_the_readme() -> None:
    from review.commands import app

    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    names += [group.name for group in app.registered_groups]
    assert [name for name in names if f"`{name}" not in readme] == []


def test_every_blocker_and_state_is_in_the_glossary() -> None:
    from triage.labels import BLOCKERS, QUEUES, STATES

    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")

    assert [code for code in (*BLOCKERS, *QUEUES, *STATES) if f"`{code}`" not in glossary] == []


def test_the_labels_are_those_of_the_guideline() -> None:
    import json

    from triage import labels

    written = json.loads((ROOT / "models/corpus/labels.json").read_text(encoding="utf-8"))

    ours = {**labels.CODES, **labels.CODE_SETS, "role": labels.ROLES}
    assert {name: list(codes) for name, codes in ours.items()} == written
