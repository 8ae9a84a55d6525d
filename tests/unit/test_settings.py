from pathlib import Path

import pytest

from settings import (
    CertaintySettings,
    MailSettings,
    OAuthSettings,
    OfficeSettings,
    OutboxSettings,
    Settings,
    SettingsError,
    SignInSettings,
    SourceSettings,
    WatchSettings,
    read_settings,
)
from settings.upkeep import AlertSettings, BackupSettings

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"

OAUTH = """
[[sources]]
url = 'eml:x'
[sources.oauth]
token_url = 'google'
client_id = 'x'
client_secret_file = 'x'
refresh_token_file = 'x'
"""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "some.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_the_defaults_hold() -> None:
    settings = read_settings()

    assert settings.database_url == "sqlite:///fit-triage.sqlite3"
    assert settings.sources == ()


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, 'authserv_id = "mx.file.example"\nbatch_size = 7\n')
    monkeypatch.setenv("FIT_TRIAGE_AUTHSERV_ID", "mx.environment.example")
    monkeypatch.setenv("FIT_TRIAGE_OFFICE__NOTICE_HOURS", "3")

    settings = read_settings(file)

    assert settings.authserv_id == "mx.environment.example"
    assert settings.batch_size == 7
    assert settings.office.notice_hours == 3


def test_sources_in_the_environment_are_separated_by_blanks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIT_TRIAGE_SOURCES", "maildir:/var/mail/support eml:/tmp/letters")

    settings = read_settings()

    assert [source.url for source in settings.sources] == [
        "maildir:/var/mail/support",
        "eml:/tmp/letters",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 3", ["colour", "unknown setting", "authserv_id"]),
        ("[[sources]]\nurl = 'eml:x'\npasword = 'y'", ["pasword", "password_file"]),
        ("[office]\ndays = [9]", ["office.days", "0 (Monday) to 6 (Sunday)"]),
        ("outbox = { webhook_secrets = 'x' }", ["webhook_secret_files", "OUTBOX__WEBHOOK_SECRETS"]),
        ("mail = { password = 'x' }", ["password_file", "FIT_TRIAGE_MAIL__PASSWORD"]),
        ("outbox = { webhook_url = 'http://x.example' }", ["must begin with https://"]),
        (
            "outbox = { webhook_url = 'http://localhost.x.example', allow_loopback_http = true }",
            ["must begin with https://"],
        ),
        ("outbox = { webhook_url = 'https:///hook' }", ["name a host"]),
        (
            "outbox = { webhook_url = 'https://x.example', export_folder = '/tmp' }",
            ["webhook_url or export_folder, not both"],
        ),
        ("start = 'yesterday'", ["start", "'history' or 'now'"]),
        ("batch_size = 0", ["batch_size", "greater than or equal to 1"]),
        ("batch_size = ", ["is not TOML"]),
        ("[watch]\nidle_renew = 1700", ["watch.idle_renew", "540"]),
        (OAUTH + "flow = 'refresh_token'\ntoken = 'x'", ["oauth.token", "refresh_token_file"]),
        (OAUTH + "flow = 'client_credentials'", ["oauth", "use service_account"]),
        (OAUTH + "flow = 'service_account'", ["oauth", "needs key_file"]),
        (OAUTH.replace("client_id = 'x'", "flow = 'refresh_token'"), ["oauth", "needs client_id"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    file = written(tmp_path, text)

    with pytest.raises(SettingsError) as caught:
        read_settings(file)

    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    for words in said:
        assert words in str(caught.value)


def test_a_misspelt_environment_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIT_TRIAGE_AUTHSERVER_ID", "mx.support.example")

    with pytest.raises(SettingsError, match=r"FIT_TRIAGE_AUTHSERVER_ID is no setting.*AUTHSERV_ID"):
        read_settings()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml cannot be read: No such file"):
        read_settings(tmp_path / "nowhere.toml")


def test_a_password_comes_from_its_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    file = written(tmp_path, f"[[sources]]\nurl = 'eml:x'\npassword_file = '{tmp_path}/password'")

    settings = read_settings(file)
    access = settings.access_to(settings.sources[0])

    assert access.password == "hunter2"
    assert "hunter2" not in repr(settings) + repr(access)


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, f"[[sources]]\nurl = 'eml:x'\npassword_file = '{tmp_path}/gone'")
    settings = read_settings(file)

    with pytest.raises(SettingsError, match=r"password file .*gone cannot be read"):
        settings.access_to(settings.sources[0])


def test_a_slip_in_an_edited_template_is_found_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    for name, text in read_settings().wording().sources:
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "enquiry.j2").write_text("Dear {{ reply.nobody }}", encoding="utf-8")
    settings = read_settings(written(tmp_path, f"templates = '{folder}'"))

    with pytest.raises(SettingsError, match="enquiry"):
        settings.wording()


@pytest.mark.parametrize(
    "model",
    [
        Settings,
        SourceSettings,
        OAuthSettings,
        OfficeSettings,
        CertaintySettings,
        WatchSettings,
        OutboxSettings,
        MailSettings,
        SignInSettings,
        AlertSettings,
        BackupSettings,
    ],
)
def test_every_setting_is_documented(model: type) -> None:
    documented = DOCS.read_text(encoding="utf-8")

    missing = [name for name in model.model_fields if f"| `{name}` |" not in documented]

    assert missing == []
