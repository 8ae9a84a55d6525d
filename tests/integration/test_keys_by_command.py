"""`keys` as operations type it, the sample mailbox sealed, and the page on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keyring
import pytest
from guard_standing_in import Guard, Person
from keyring.backend import KeyringBackend
from services.staffed_page import ReadSample
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from store_samples import NOW, email, key, outcome
from typer.testing import CliRunner, Result

from review.commands import app
from review.desk import Desk
from review.web.app import web_app
from settings import Settings, SettingsError, read_settings
from store import KeyPlace, KeysError, Store, Wanted, open_store
from store.resealing import rotate

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"


@pytest.fixture(autouse=True)
def plain_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    if "store_url" in request.fixturenames:
        monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", request.getfixturevalue("store_url"))


@pytest.fixture
def key_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("FIT_TRIAGE_ENCRYPTION__KEY_FILE", str(tmp_path / "keys"))
    return tmp_path / "keys"


def keys(*words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words], obj=Desk(None))


def told(*words: str) -> Any:
    result = keys(*words, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def test_encryption_is_turned_on_rotated_and_turned_off_by_command(
    store_url: str, key_file: Path
) -> None:
    with open_store(store_url) as store, store.batch(now=NOW) as batch:
        batch.add(key(1), "digest", email(1), [outcome()])

    assert keys("new").exit_code == 0
    first = told("rotate")
    assert told("list") == {first["key"]: {"messages": 1, "decisions": 1}}
    assert keys("new").exit_code == 0
    second = told("rotate")
    assert second["given_up"] == [first["key"]] != [second["key"]]
    assert told("verify") == {"rows": 2, "damaged": []}
    assert told("off")["key"] is None

    open_store(store_url).close()  # without any key
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert keys("list").stdout == "plain: 1 decisions, 1 messages\n"


def test_without_encryption_in_the_settings_the_commands_say_what_to_set() -> None:
    for words in (["new"], ["rotate"], ["list"], ["verify"], ["off"]):
        result = keys(*words)

        assert isinstance(result.exception, SettingsError)
        assert "set key_file or keyring in [encryption]" in str(result.exception)


def test_a_missing_key_is_wrong_configuration_and_said_in_one_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sealed.sqlite3'}"
    place = KeyPlace(tmp_path / "keys")
    place.add()
    open_store(url, keys=place).close()

    done = subprocess.run(
        [FIT_TRIAGE, "queue"],
        env={"FIT_TRIAGE_DATABASE_URL": url}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is sealed with key" in done.stderr


@pytest.mark.usefixtures("key_file")
def test_a_file_and_a_keyring_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIT_TRIAGE_ENCRYPTION__KEYRING", "support")

    with pytest.raises(SettingsError, match="two places: set one"):
        read_settings(None)


class _InMemory(KeyringBackend):
    """A keyring that forgets; the system's own asks somebody to unlock it."""

    priority = 1  # type: ignore[assignment] # a property in the base class

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password


def test_keys_are_kept_in_the_systems_keyring(tmp_path: Path) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(_InMemory())
    try:
        place = KeyPlace(keyring="support")
        with pytest.raises(KeysError, match="keyring entry 'support' holds no key"):
            place.read()

        first, second = place.add(), place.add()

        assert place.read() == (first, second)
        open_store(f"sqlite:///{tmp_path / 'new.sqlite3'}", keys=place).close()
    finally:
        keyring.set_keyring(before)


@pytest.fixture
def sealed_sample(read_sample: ReadSample, tmp_path: Path) -> tuple[Path, KeyPlace]:
    place = KeyPlace(tmp_path / "keys")
    place.add()
    path = tmp_path / "sealed.sqlite3"
    read_sample.fill(f"sqlite:///{path}", place)
    return path, place


def seen(store: Store) -> list[Any]:
    rows = [*store.queue(include_closed=True), *store.queue(queue="general", include_closed=True)]
    return [rows, [store.case(row.case_id) for row in rows]]


def test_the_sample_mailbox_is_queued_alike_and_no_sentence_is_in_the_files(
    sealed_sample: tuple[Path, KeyPlace], filled_sqlite: Path
) -> None:
    path, place = sealed_sample

    with open_store(f"sqlite:///{path}", keys=place) as sealed:
        found = seen(sealed)
        files = b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*"))
    with open_store(f"sqlite:///{filled_sqlite}") as plain:
        # Their times of storing differ, and nothing else.
        assert repr(found[0]) == repr(seen(plain)[0])

    mails = [one.email for story in found[1] for one in story.messages]
    # Longer than a name: those of the registry stand in plain columns.
    texts = {mail.subject for mail in mails}.union(*(mail.new_text.splitlines() for mail in mails))
    sentences = {line for line in texts if len(line) > 30}
    assert len(sentences) > 100
    assert not [line for line in sentences if line.encode() in files]


def test_the_page_shows_sealed_mail_and_says_how_it_is_searched(
    sealed_sample: tuple[Path, KeyPlace],
) -> None:
    path, place = sealed_sample
    url = f"sqlite:///{path}"
    with open_store(url, keys=place) as store:
        office = web_app(
            Desk(SimpleNamespace()),  # type: ignore[arg-type] # nothing is read here
            store, Settings(),
            guard=[Middleware(Guard, person=Person("anna", "staff"))], clock=lambda: NOW,
        )  # fmt: skip
        client = TestClient(office)
        number = store.page(Wanted(include_closed=True)).rows[0].case_id
        story = store.case(number)
        assert story
        word = max(story.messages[0].email.new_text.split(), key=lambda w: len(w) * w.isalpha())
        token = client.get("/queues").text.partition('name="csrf" value="')[2].partition('"')[0]

        page = client.get(f"/cases/{number}").text
        answer = client.post("/search", data={"csrf": token, "words": word}).text

    assert word in page
    assert "found whole only" in answer
    assert f"/cases/{number}" in answer


def test_a_sealed_sample_is_opened_again_as_it_was(
    sealed_sample: tuple[Path, KeyPlace],
) -> None:
    path, place = sealed_sample
    url = f"sqlite:///{path}"
    with open_store(url, keys=place) as store:
        before = repr(seen(store))

    rotate(url, place, to_plain=True)

    with open_store(url) as store:
        assert repr(seen(store)) == before
