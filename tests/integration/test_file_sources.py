"""Sources that are files: a Maildir, an mbox, .eml files."""

import mailbox
import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from ingest.sources import Access, SourceError, open_source


def nothing_known(_keys):
    return set()


def mail(number, body="Hello.\n"):
    return f"From: t{number}@example.org\nSubject: mail {number}\n\n{body}".encode()


def read(spec, cursor=None, known=nothing_known, access=None, **options):
    with open_source(spec, access or Access()) as source:
        return list(source.batches(cursor, known, **options))


def contents(batches):
    return [message.content for batch in batches for message in batch.messages]


def keys(batches):
    return [message.key for batch in batches for message in batch.messages]


def losses(batches):
    return [(loss.key.uid, loss.cause) for batch in batches for loss in batch.losses]


@pytest.fixture
def maildir(tmp_path):
    for part in ("new", "cur", "tmp"):
        (tmp_path / "box" / part).mkdir(parents=True)
    return tmp_path / "box"


def deliver(maildir, number, at, part="new"):
    name = f"{at}.M{number:06}P1.host" + (":2,S" if part == "cur" else "")
    (maildir / part / name).write_bytes(mail(number))
    return maildir / part / name


def test_a_maildir_is_read_in_the_order_of_delivery(maildir):
    deliver(maildir, 3, 1_700_000_300)
    deliver(maildir, 1, 1_700_000_100, "cur")
    deliver(maildir, 2, 1_700_000_200)

    batches = read(f"maildir:{maildir}", size=2)

    assert contents(batches) == [mail(1), mail(2), mail(3)]
    assert [len(batch.messages) for batch in batches] == [2, 1]
    assert batches[0].messages[0].received_at == datetime.fromtimestamp(1_700_000_100.000001, UTC)


def test_a_maildir_message_stays_the_same_when_it_is_moved_and_flagged(maildir):
    path = deliver(maildir, 1, 1_700_000_100)
    (fresh,) = keys(read(f"maildir:{maildir}"))

    path = path.rename(maildir / "cur" / (path.name + ":2,"))
    (seen,) = keys(read(f"maildir:{maildir}"))
    path.rename(maildir / "cur" / (path.name + "FRS"))
    (flagged,) = keys(read(f"maildir:{maildir}"))

    assert fresh == seen == flagged


def test_a_maildir_written_by_the_standard_library_is_read_whole(tmp_path):
    box = mailbox.Maildir(tmp_path / "box")
    for number in range(20):
        box.add(mail(number))

    batches = read(f"maildir:{tmp_path}/box")

    assert contents(batches) == [mail(number) for number in range(20)]
    assert len({key.uid for key in keys(batches)}) == 20


def test_known_files_are_not_opened(maildir):
    path = deliver(maildir, 1, 1_700_000_100)
    first = read(f"maildir:{maildir}")
    known = set(keys(first))
    path.write_bytes(b"changed")
    deliver(maildir, 2, 1_700_000_050)

    second = read(f"maildir:{maildir}", first[-1].cursor, known.intersection)

    assert contents(second) == [mail(2)]  # late, and delivered earlier than what is known


def test_a_maildir_read_from_now_on_gives_only_what_comes_later(maildir):
    deliver(maildir, 1, 1_700_000_100)
    deliver(maildir, 2, 1_700_000_200, "cur")
    with open_source(f"maildir:{maildir}", Access()) as source:
        cursor = source.latest()
        assert source.count() == 2
    deliver(maildir, 3, 1_700_000_201)

    assert contents(read(f"maildir:{maildir}", cursor)) == [mail(3)]


def test_a_file_dated_in_the_future_does_not_hide_what_follows(maildir):
    deliver(maildir, 1, 4_000_000_000)
    with open_source(f"maildir:{maildir}", Access()) as source:
        cursor = source.latest()

    assert cursor.since <= datetime.now(UTC)


def test_a_message_moved_while_being_read_is_still_read(maildir):
    for number in range(3):
        deliver(maildir, number, 1_700_000_000 + number)
    found = []

    with open_source(f"maildir:{maildir}", Access()) as source:
        for batch in source.batches(None, nothing_known, size=1):
            for path in (maildir / "new").iterdir():
                path.rename(maildir / "cur" / (path.name + ":2,S"))
            found.append(batch)

    assert contents(found) == [mail(0), mail(1), mail(2)]


def test_a_message_deleted_while_the_rest_is_read_is_recorded_as_vanished(maildir):
    paths = [deliver(maildir, number, 1_700_000_000 + number) for number in range(3)]
    found = []

    with open_source(f"maildir:{maildir}", Access()) as source:
        for batch in source.batches(None, nothing_known, size=1):
            paths[1].unlink(missing_ok=True)
            found.append(batch)

    assert contents(found) == [mail(0), mail(2)]
    assert [cause for _, cause in losses(found)] == ["vanished"]


def test_one_unreadable_file_does_not_hold_up_the_rest(maildir, monkeypatch):
    for number in range(3):
        deliver(maildir, number, 1_700_000_000 + number)
    name = str(deliver(maildir, 9, 1_700_000_001))
    real = open

    def broken(path, *rest):
        if path == name:
            raise OSError(5, "Input/output error")
        return real(path, *rest)

    monkeypatch.setattr("ingest.files.open", broken, raising=False)

    batches = read(f"maildir:{maildir}")

    assert contents(batches) == [mail(0), mail(1), mail(2)]
    assert [cause for _, cause in losses(batches)] == ["unfetchable"]


def test_running_out_of_file_handles_is_not_taken_for_bad_mail(maildir, monkeypatch):
    deliver(maildir, 1, 1_700_000_000)

    def exhausted(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("ingest.files.open", exhausted, raising=False)

    with pytest.raises(SourceError, match="Too many open files"):
        read(f"maildir:{maildir}")


@pytest.mark.parametrize("scheme", ["maildir", "eml", "mbox"])
def test_oversize_mail_is_recorded_unread_and_does_not_hold_up_the_rest(maildir, tmp_path, scheme):
    box = mailbox.mbox(tmp_path / "box.mbox")
    for number, size in enumerate((1, 5_000, 1)):
        body = mail(number, "line\n" * size)
        (maildir / "new" / f"{1_700_000_000 + number}.M1P1.host.eml").write_bytes(body)
        box.add(body)
    box.close()
    spec = {"maildir": maildir, "eml": maildir / "new", "mbox": tmp_path / "box.mbox"}[scheme]

    batches = read(f"{scheme}:{spec}", access=Access(max_message_bytes=10_000))

    assert len(contents(batches)) == 2
    ((_, cause),) = losses(batches)
    assert cause == "oversize"
    assert batches[0].losses[0].size > 25_000


@pytest.mark.parametrize("scheme", ["maildir", "eml", "mbox"])
def test_reading_changes_no_file(maildir, scheme):
    deliver(maildir, 1, 1_700_000_100)
    deliver(maildir, 2, 1_700_000_200, "cur")
    (maildir / "one.eml").write_bytes(mail(3))
    box = mailbox.mbox(maildir / "box.mbox")
    box.add(mail(4))
    box.close()
    target = {"maildir": maildir, "eml": maildir, "mbox": maildir / "box.mbox"}[scheme]

    def state():
        found = sorted(p for p in maildir.rglob("*") if p.is_file())
        return [(p, p.stat().st_mtime_ns, p.stat().st_mode, p.read_bytes()) for p in found]

    before = state()
    assert contents(read(f"{scheme}:{target}"))

    assert state() == before


def test_an_eml_folder_is_read_by_path_with_its_folders_below(tmp_path):
    for name in ("b/2.eml", "a.EML", "b/1.eml", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(mail(name))

    batches = read(f"eml:{tmp_path}")

    assert contents(batches) == [mail("a.EML"), mail("b/1.eml"), mail("b/2.eml")]


def test_a_single_message_file_is_a_source_of_one(tmp_path):
    (tmp_path / "message").write_bytes(mail(1))

    assert contents(read(f"eml:{tmp_path}/message")) == [mail(1)]


def test_eml_identity_follows_the_path_and_survives_a_copy_of_the_folder(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "x.eml").write_bytes(mail(1))
    shutil.copytree(tmp_path / "one", tmp_path / "two")

    (first,) = keys(read(f"eml:{tmp_path}/one"))
    (second,) = keys(read(f"eml:{tmp_path}/two"))

    assert first.uid == second.uid
    assert 0 <= first.uid < 2**63


def test_an_eml_folder_read_from_now_on_gives_only_what_changed_later(tmp_path):
    old = tmp_path / "z.eml"
    old.write_bytes(mail(1))
    os.utime(old, (1_700_000_000, 1_700_000_000))
    with open_source(f"eml:{tmp_path}", Access()) as source:
        cursor = source.latest()
    (tmp_path / "a.eml").write_bytes(mail(2))

    assert contents(read(f"eml:{tmp_path}", cursor)) == [mail(2)]


@pytest.mark.parametrize("scheme", ["maildir", "mbox", "eml"])
def test_a_path_that_does_not_exist_is_named(tmp_path, scheme):
    with pytest.raises(SourceError, match=f"{tmp_path}/nowhere.*No such file"):
        read(f"{scheme}:{tmp_path}/nowhere")


def test_a_folder_that_cannot_be_read_is_named(maildir):
    (maildir / "cur").rmdir()
    (maildir / "cur").touch()

    with pytest.raises(SourceError, match=r"cur \(Not a directory"):
        read(f"maildir:{maildir}")


def test_a_folder_that_is_no_maildir_says_what_one_is(tmp_path):
    with pytest.raises(SourceError, match="cur and new"):
        read(f"maildir:{tmp_path}")


FROM = "From t@example.org Thu Nov 19 12:00:0{} 2026\n"


def mbox_of(path, *bodies):
    text = "".join(FROM.format(n) + f"Subject: {n}\n\n{body}\n\n" for n, body in enumerate(bodies))
    path.write_text(text)
    return f"mbox:{path}"


def test_an_mbox_is_taken_apart_where_messages_begin_and_nowhere_else(tmp_path):
    spec = mbox_of(
        tmp_path / "m",
        "one\n\nFrom here on it is only text.\n\nFrom Monday 12:00 we meet.",
        "two\n>From the start\n>>From deeper",
        "",
    )

    batches = read(spec)

    assert contents(batches) == [
        b"Subject: 0\n\none\n\nFrom here on it is only text.\n\nFrom Monday 12:00 we meet.\n",
        b"Subject: 1\n\ntwo\nFrom the start\n>From deeper\n",
        b"Subject: 2\n\n\n",
    ]
    at = [message.received_at for batch in batches for message in batch.messages]
    assert at[1] == datetime(2026, 11, 19, 12, 0, 1, tzinfo=UTC)


def test_an_mbox_written_by_the_standard_library_is_read_whole(tmp_path):
    box = mailbox.mbox(tmp_path / "m")
    sent = [mail(n, "text\n\nFrom the beginning\n" * 3) for n in range(30)]
    for content in sent:
        box.add(content)
    box.close()

    assert contents(read(f"mbox:{tmp_path}/m", size=7)) == sent


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Thu Nov 19 12:30:05 +0200 2026", "2026-11-19T10:30:05+00:00"),
        ("Thu Nov 19 12:30:05 2026 -0130", "2026-11-19T14:00:05+00:00"),
        ("Thu Nov  9 12:30 GMT 2026", "2026-11-09T12:30:00+00:00"),
    ],
)
def test_mbox_dates_are_read_with_the_zones_that_programs_add(tmp_path, date, expected):
    (tmp_path / "m").write_text(f"From - {date}\nSubject: x\n\ny\n")

    (batch,) = read(f"mbox:{tmp_path}/m")

    assert batch.messages[0].received_at.isoformat() == expected


def test_an_mbox_with_windows_line_ends_is_read(tmp_path):
    (tmp_path / "m").write_bytes(
        b"From a Thu Nov 19 12:30:05 2026\r\nSubject: 1\r\n\r\none\r\n\r\n"
        b"From a Thu Nov 19 12:30:06 2026\r\nSubject: 2\r\n\r\ntwo\r\n\r\n"
    )

    assert contents(read(f"mbox:{tmp_path}/m")) == [
        b"Subject: 1\r\n\r\none\r\n",
        b"Subject: 2\r\n\r\ntwo\r\n",
    ]


def test_an_mbox_message_stays_the_same_when_others_are_deleted(tmp_path):
    before = keys(read(mbox_of(tmp_path / "m", "one", "two")))
    text = (tmp_path / "m").read_text()
    (tmp_path / "m").write_text(text[text.index(FROM.format(1)) :])

    after = keys(read(f"mbox:{tmp_path}/m"))

    assert after == before[1:]


def test_the_same_mail_twice_in_an_mbox_is_one(tmp_path):
    (tmp_path / "m").write_text((FROM.format(0) + "Subject: x\n\ny\n\n") * 3)

    assert len(contents(read(f"mbox:{tmp_path}/m"))) == 1


def test_an_mbox_read_from_now_on_gives_only_what_is_appended_later(tmp_path):
    spec = mbox_of(tmp_path / "m", "one", "two")
    with open_source(spec, Access()) as source:
        cursor = source.latest()
        assert source.count() == 2
    with (tmp_path / "m").open("a") as box:
        box.write(FROM.format(1) + "Subject: 3\n\nin the same second\n\n")

    assert contents(read(spec, cursor)) == [b"Subject: 3\n\nin the same second\n"]


def test_an_mbox_read_from_now_on_goes_by_date_when_its_last_message_was_deleted(tmp_path):
    spec = mbox_of(tmp_path / "m", "one", "two")
    with open_source(spec, Access()) as source:
        cursor = source.latest()
    text = (tmp_path / "m").read_text()
    kept = text[: text.index(FROM.format(1))]
    (tmp_path / "m").write_text(kept + FROM.format(5) + "Subject: 5\n\nfive\n\n")

    assert contents(read(spec, cursor)) == [b"Subject: 5\n\nfive\n"]


def test_a_line_longer_than_any_buffer_does_not_harm_an_mbox(tmp_path):
    long = "x" * 200_000 + "From " + "y" * 200_000
    spec = mbox_of(tmp_path / "m", long, "two")

    batches = read(spec)

    assert contents(batches)[0] == f"Subject: 0\n\n{long}\n".encode()
    assert len(contents(batches)) == 2


def test_a_file_that_is_no_mbox_says_so(tmp_path):
    (tmp_path / "m").write_text("Subject: x\n\nno mbox\n")

    with pytest.raises(SourceError, match="no mbox"):
        read(f"mbox:{tmp_path}/m")


@pytest.mark.parametrize("scheme", ["maildir", "mbox", "eml"])
def test_a_source_without_mail_gives_nothing(tmp_path, maildir, scheme):
    (tmp_path / "m").touch()
    target = {"maildir": maildir, "mbox": tmp_path / "m", "eml": maildir}[scheme]

    with open_source(f"{scheme}:{target}", Access()) as source:
        assert source.count() == 0
        assert list(source.batches(None, nothing_known)) == []
        assert source.latest().since >= datetime.now(UTC) - timedelta(minutes=1)


@pytest.mark.parametrize("scheme", ["maildir", "mbox", "eml"])
def test_the_start_from_now_on_is_given_to_be_stored_though_no_mail_comes(
    tmp_path, maildir, scheme
):
    (tmp_path / "m").touch()
    target = {"maildir": maildir, "mbox": tmp_path / "m", "eml": maildir}[scheme]

    with open_source(f"{scheme}:{target}", Access()) as source:
        cursor = source.latest()
        batches = list(source.batches(cursor, nothing_known))

    assert [(batch.messages, batch.cursor) for batch in batches] == [((), cursor)]


def test_a_limit_bounds_what_is_read(maildir):
    for number in range(9):
        deliver(maildir, number, 1_700_000_000 + number)

    assert contents(read(f"maildir:{maildir}", size=2, limit=3)) == [mail(n) for n in range(3)]
