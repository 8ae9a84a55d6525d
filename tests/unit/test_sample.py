"""The sample mailbox is true to its registry on whatever day the demo runs."""

import csv
import email
import email.policy
import json
import re
import unicodedata
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from email.utils import parseaddr
from functools import cache
from pathlib import Path

import pytest

from ingest import sample
from ingest.sample import LONDON, Sample, write_sample
from triage.alternatives import rank
from triage.labels import (
    CODE_SETS,
    FIT_REASONS,
    KINDS,
    NOTIFICATIONS,
    PRESENTING_ISSUES,
    REQUIRED_APPROACHES,
    REQUIRED_EXPERIENCE,
)
from triage.records import CaseFacts, Request, Therapist

SHIPPED = Path(sample.__file__).parent
WEDNESDAY = date(2025, 11, 19)
ANY_DAY = [
    *(date(2025, 11, 17) + timedelta(days=days) for days in range(7)),  # Monday to Sunday
    *(date(2026, 3, 26) + timedelta(days=days) for days in range(8)),  # summer time, month, Easter
    *(date(2025, 10, 23) + timedelta(days=days) for days in range(8)),  # summer time ends
    *(date(2025, 12, 23) + timedelta(days=days) for days in range(12)),  # Christmas to New Year
    *(date(2028, 2, 27) + timedelta(days=days) for days in range(4)),  # a leap day
]
NAMED_DAY = re.compile(rb"\{\{(date|at):([^|{}]+)\|([^{}]*)\}\}")


@cache
def expected() -> dict[str, dict]:
    lines = (SHIPPED / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["file"]: line for line in map(json.loads, lines)}


@pytest.fixture(scope="module")
def wednesday(tmp_path_factory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("sample"), WEDNESDAY)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mails(of: Sample) -> dict[str, EmailMessage]:
    """Shipped name → the rendered message, oldest first."""
    return {
        path.name.partition(".")[2]: email.message_from_bytes(
            path.read_bytes(), policy=email.policy.default
        )
        for path in sorted((of.maildir / "new").iterdir())
    }


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def words(mail: EmailMessage) -> str:
    """Subject and all text of *mail*, decoded."""
    parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    return "\n".join([str(mail["subject"]), *(part.get_content() for part in parts)])


def allowed(value: object) -> list:
    return value if isinstance(value, list) else [value]


def test_the_sample_is_as_large_as_promised(wednesday):
    assert len(mails(wednesday)) >= 85
    assert len(rows(wednesday.sessions)) == 60
    assert len(rows(wednesday.therapists)) == 25


def test_every_message_has_its_expectation_and_every_expectation_its_message(wednesday):
    assert set(mails(wednesday)) == set(expected())


def test_every_kind_notification_and_reason_occurs():
    requests = [request for line in expected().values() for request in line["requests"]]

    kinds = {kind for request in requests for kind in allowed(request["kind"])}
    told = {code for request in requests for code in allowed(request["client_notification"])}
    reasons = {code for request in requests for code in request["fit_reasons"]}

    assert kinds == set(KINDS)
    assert told == set(NOTIFICATIONS)
    assert reasons == set(FIT_REASONS)


def test_the_registry_holds_together(wednesday):
    therapists = {row["therapist_id"] for row in rows(wednesday.therapists)}
    clients = {row["client_id"] for row in rows(wednesday.clients)}
    sessions = rows(wednesday.sessions)

    assert len({row["session_id"] for row in sessions}) == len(sessions)
    assert {row["therapist_id"] for row in sessions} <= therapists
    assert {row["client_id"] for row in sessions} == clients
    assert {row["status"] for row in sessions} == {"unconfirmed", "confirmed", "cancelled", "held"}


def test_sessions_named_truthfully_are_the_senders_own(wednesday):
    owner = {row["session_id"]: row["therapist_id"] for row in rows(wednesday.sessions)}
    addresses = {
        row["therapist_id"]: f"{row['emails']};{row['delegates']}".split(";")
        for row in rows(wednesday.therapists)
    }
    messages = mails(wednesday)

    for name, line in expected().items():
        if line.get("sender") != "therapist" or not line["authenticated"]:
            continue
        address = parseaddr(messages[name]["from"])[1].lower()
        for session_id in named_by(line):
            assert address in addresses[owner[session_id]], (name, session_id)


def named_by(line: dict) -> list[str]:
    unknown = line.get("unknown_ids", [])
    named = [one for request in line["requests"] for one in request["session_ids"]]
    return [one for one in named if one not in unknown]


def test_clients_are_called_what_the_registry_calls_them(wednesday):
    client_of = {row["session_id"]: row["client_id"] for row in rows(wednesday.sessions)}
    names = {
        row["client_id"]: (unaccented(row["first_name"]), unaccented(row["last_name"]))
        for row in rows(wednesday.clients)
    }

    for name, line in expected().items():
        for request in line["requests"]:
            for session_id in set(request["session_ids"]) & set(client_of):
                first, last = names[client_of[session_id]]
                called = re.sub(r"^(mr|mrs|ms|miss) ", "", (request["client_ref"] or first).lower())
                assert called.startswith((first, last, last[0])), (name, session_id)


def unaccented(name: str) -> str:
    return unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode("ascii").lower()


#: A woman who does psychological assessments: the sample has one who is not the therapist herself.
FEWER = {"court_report.mx": 1}


def test_every_referral_finds_three_alternatives_where_there_are_as_many(wednesday):
    directory = Colleagues(rows(wednesday.therapists))
    owner = {row["session_id"]: row["therapist_id"] for row in rows(wednesday.sessions)}

    for name, line in expected().items():
        for stated in line["requests"]:
            if "required_approaches" not in stated:
                continue
            codes = {field: tuple(stated[field]) for field in CODE_SETS}
            own = directory.therapist(owner[stated["session_ids"][0]])
            facts = CaseFacts(registry_known=True, sender_is="owner", therapist=own)

            found = rank(Request("referral", **codes), facts, directory)

            assert len(found) == FEWER.get(name, 3), name
            assert found[0].score > 0.4, name


class Colleagues:
    """The part of the directory that alternatives are chosen from."""

    def __init__(self, table: list[dict[str, str]]) -> None:
        lists = ("emails", "delegates", "approaches", "issues", "experience", "languages", "places")
        self._all = {
            row["therapist_id"]: Therapist(
                row["therapist_id"],
                row["name"],
                **{field: tuple(filter(None, row[field].split(";"))) for field in lists},
                open_to_new=row["open_to_new"] == "true",
            )
            for row in table
        }

    def therapist(self, therapist_id: str) -> Therapist:
        return self._all[therapist_id]

    def open_therapists(self) -> list[Therapist]:
        return [therapist for therapist in self._all.values() if therapist.open_to_new]


def test_therapists_are_described_in_known_codes(wednesday):
    for row in rows(wednesday.therapists):
        assert set(row["approaches"].split(";")) <= set(REQUIRED_APPROACHES), row["name"]
        assert set(row["issues"].split(";")) <= set(PRESENTING_ISSUES), row["name"]
        assert set(row["experience"].split(";")) <= set(REQUIRED_EXPERIENCE), row["name"]


def test_ids_stand_in_the_text_even_where_it_is_encoded(wednesday):
    messages = mails(wednesday)

    for name, line in expected().items():
        for session_id in [one for request in line["requests"] for one in request["session_ids"]]:
            assert session_id.removeprefix("HT-") in words(messages[name]), (name, session_id)


def test_near_misses_are_in_the_mailbox(wednesday):
    everything = "\n".join(words(mail) for mail in mails(wednesday).values())

    assert re.search(r"INV-\d{6}\b", everything)
    assert re.search(r"\[Ticket #\d{5}\]", everything)
    assert re.search(r"HT-\d{5}\b(?!\d)", everything)
    assert re.search(r"booking ref\.\n\d{6}", everything)


def test_only_reserved_addresses_and_numbers_are_used(wednesday):
    for name, mail in mails(wednesday).items():
        text = "\n".join([*map(str, mail.values()), words(mail)])

        for host in re.findall(r"[\w.-]+@([\w-]+(?:\.[\w-]+)*)", text):
            assert host.endswith(".example"), (name, host)
        for host in re.findall(r"https?://([^/\s\"<>:=]+)", words(mail)):
            assert host.endswith(".example") or host == "www.w3.org", (name, host)
        for phone in re.findall(r"\b0\d{4} \d{6}\b", words(mail)):
            assert phone.startswith(("01632 960", "07700 900")), (name, phone)


def test_all_but_the_declared_messages_parse_cleanly(wednesday):
    for name, mail in mails(wednesday).items():
        line = expected()[name]
        if line.get("unreadable") or line.get("defects"):
            continue
        assert not [part.defects for part in mail.walk() if part.defects], name
        assert mail.get_body(("plain", "html")).get_content().strip(), name
        assert parseaddr(mail["from"])[1], name
        assert mail["date"].datetime.tzinfo is not None, name


def test_mail_comes_in_the_charsets_and_encodings_of_the_wild(wednesday):
    parts = [part for mail in mails(wednesday).values() for part in mail.walk()]

    charsets = {part.get_content_charset() for part in parts}
    transfers = {part.get("content-transfer-encoding", "7bit") for part in parts}

    assert charsets >= {"us-ascii", "utf-8", "iso-8859-1", "windows-1252", "gb2312", "iso-2022-jp"}
    assert transfers >= {"7bit", "8bit", "quoted-printable", "base64"}


def test_the_unreadable_message_has_nothing_to_read(wednesday):
    [name] = [name for name, line in expected().items() if line.get("unreadable")]

    mail = mails(wednesday)[name]

    assert mail["from"] is None
    assert mail["subject"] is None
    assert not mail.get_content().replace("\0", "").strip()


def test_one_mail_is_there_twice_and_two_mails_share_an_id(wednesday):
    files = {p.name.partition(".")[2]: p for p in (wednesday.maildir / "new").iterdir()}
    [(twin, first)] = [(n, e["same_as"]) for n, e in expected().items() if "same_as" in e]
    ids = [mail["message-id"] for name, mail in mails(wednesday).items() if name != twin]

    assert files[twin].read_bytes() == files[first].read_bytes()
    assert [one for one in set(ids) if one and ids.count(one) > 1] == [
        "<noreply-1@celfathera.example>"
    ]


def test_genuine_senders_carry_our_own_servers_verdict(wednesday):
    for name, mail in mails(wednesday).items():
        top = [
            str(value)
            for value in mail.get_all("authentication-results", [])[:2]
            if str(value).startswith(sample.AUTHSERV_ID)
        ]

        passed = bool(top) and "dmarc=pass" in top[0]

        assert passed == expected()[name]["authenticated"], name


def test_the_same_day_gives_the_same_bytes(tmp_path):
    write_sample(tmp_path / "a", WEDNESDAY)
    first = tree(tmp_path / "a")
    write_sample(tmp_path / "a", WEDNESDAY)

    assert tree(tmp_path / "a") == first


def test_a_new_day_replaces_the_old_mail_and_nothing_else(tmp_path):
    write_sample(tmp_path, WEDNESDAY)
    (tmp_path / "Maildir/new/1763000000.somebody-elses").write_bytes(b"kept")
    (tmp_path / "Maildir/cur").mkdir(exist_ok=True)
    some = min((tmp_path / "Maildir/new").glob("*.mx"))
    some.rename(tmp_path / "Maildir/cur" / f"{some.name}:2,S")

    write_sample(tmp_path, WEDNESDAY + timedelta(days=1))

    found = list((tmp_path / "Maildir").rglob("*.*"))
    assert len(found) == len(expected()) + 1
    assert (tmp_path / "Maildir/new/1763000000.somebody-elses").read_bytes() == b"kept"


@pytest.mark.parametrize("today", ANY_DAY, ids=str)
def test_the_sample_makes_sense_on_any_day(tmp_path, today):
    made = write_sample(tmp_path, today)

    delivered = [int(path.name.partition(".")[0]) for path in (made.maildir / "new").iterdir()]
    starts = {
        row["session_id"]: datetime.fromisoformat(row["starts_at"]).replace(tzinfo=LONDON)
        for row in rows(made.sessions)
    }
    assert made.now.weekday() < 5
    assert timedelta(0) <= today - made.now.date() <= timedelta(days=5)
    assert max(delivered) < made.now.timestamp()
    assert min(delivered) > (made.now - timedelta(days=12)).timestamp()
    assert sum(start > made.now for start in starts.values()) >= 45
    assert not [path for path, content in tree(tmp_path).items() if b"{{" in content]


@pytest.mark.parametrize("today", ANY_DAY, ids=str)
def test_a_weekday_without_a_date_can_only_be_the_one_meant(today):
    calendar = on(today)

    for path in (SHIPPED / "Maildir/new").iterdir():
        template = path.read_bytes()
        sent = datetime.strptime(
            sample._RECEIVED.search(sample.rendered(template, calendar))[1].decode(),
            "%a, %d %b %Y %H:%M:%S %z",
        )
        for kind, spec, form in NAMED_DAY.findall(template):
            if b"%A" in form and not re.search(rb"%[edo]", form):
                day = calendar.moment(kind.decode(), spec.decode()).date()
                assert abs((day - sent.astimezone(LONDON).date()).days) <= 6, (path.name, spec)


def on(today: date) -> sample._Calendar:
    bare = sample._Calendar(sample._working_day(today))
    registry = sample.rendered((SHIPPED / "registry/sessions.csv").read_bytes(), bare)
    starts = {
        row["session_id"].removeprefix("HT-"): datetime.fromisoformat(row["starts_at"]).replace(
            tzinfo=LONDON
        )
        for row in csv.DictReader(registry.decode().splitlines())
    }
    return sample._Calendar(bare.base, starts)


def test_summer_mail_is_stamped_with_summer_time(tmp_path):
    in_july = mails(write_sample(tmp_path, date(2026, 7, 15)))

    offsets = {
        mail["date"].datetime.utcoffset()
        for name, mail in in_july.items()
        if mail["date"] and not expected()[name].get("defects")
    }

    assert offsets == {timedelta(hours=1)}


def test_days_and_times_in_the_text_are_those_of_the_registry(wednesday):
    [start] = [r["starts_at"] for r in rows(wednesday.sessions) if r["session_id"] == "HT-613052"]

    assert start == "2025-11-24T19:00"  # Monday, three working days on
    assert "Monday at 7pm" in words(mails(wednesday)["ocd_wants_erp.mx"])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%A %o %B, %l.%M%p", "Saturday 1st March, 12.05am"),
        ("%a, %e %b %Y at %k:%M", "Sat, 1 Mar 2025 at 0:05"),
        ("%d/%m/%y %H:%M:%S %z %Z", "01/03/25 00:05:09 +0000 GMT"),
    ],
)
def test_moments_are_written_as_people_write_them(form, text):
    moment = datetime(2025, 3, 1, 0, 5, 9, tzinfo=LONDON)

    assert sample.written(moment, form) == text


@pytest.mark.parametrize(
    ("day", "text"),
    [(2, "2nd"), (3, "3rd"), (11, "11th"), (21, "21st"), (22, "22nd"), (30, "30th")],
)
def test_days_of_the_month_are_ordinals(day, text):
    assert sample.written(datetime(2025, 12, day, tzinfo=LONDON), "%o") == text
