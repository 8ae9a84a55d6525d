"""The sample mailbox: composed messages and the registry they belong to, dated as of any day.

The files under ``Maildir/new`` and ``registry`` are ready to be sent but for their dates, since "on
Thursday at six" must fit the registry on whatever day the demo runs. Two placeholders stand for a
moment in Europe/London:

``{{date:OFFSETS HH:MM[:SS]|FORMAT}}``
    counted from the working day the demo takes place on: ``-1wd`` a working day (Monday to Friday)
    earlier, ``+3d`` three calendar days on, ``-1sat`` the last Saturday before; ``+0d`` the day
    itself. Offsets add up from left to right (``+2wd-7d``).
``{{at:613052|FORMAT}}``
    the start of that session in the registry, so that text and registry cannot disagree.

FORMAT is written with ``%a %A %b %B %d %m %y %Y %H %M %S %I %z %Z`` as in ``strftime`` (in English
whatever the locale), plus ``%e`` (day, no zero), ``%o`` (6th), ``%l`` (hour of twelve, no zero),
``%p`` (am, pm), ``%k`` (hour, no zero).

A part that is base64 or quoted-printable, or not in UTF-8, and names a date, stands in the file as
readable UTF-8 between ``{{encode:TRANSFER CHARSET}}`` and ``{{end}}``. Its placeholders are filled
first and the outcome encoded then: line lengths, soft breaks and the bytes of other charsets come
out as a mail program would have written them. Everything else is kept byte for byte.

``expected.jsonl`` says what a person makes of each message, by the name of its shipped file: who
sends it (``sender``: therapist, colleague, client, stranger, forged), whether our server vouches
for the address, the queues it goes to, and each request in the guideline's fields. ``state`` is the
one its case ends in once the whole sample has been read. A list where the guideline has one value
means that any of them will do; ``automatic: null`` likewise. Nothing is trained on it.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import quopri
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

LONDON: Final = ZoneInfo("Europe/London")
AUTHSERV_ID: Final = "mx.support.example"
HOST: Final = ".mx"  # how our file names end, shipped and rendered
CLOCK: Final = time(10, 45)

_MOMENT: Final = re.compile(rb"\{\{(date|at):([^|{}\r\n]+)\|([^{}\r\n]+)\}\}")
_ENCODE: Final = re.compile(
    rb"\{\{encode:([\w-]+) ([\w-]+)\}\}\r?\n(.*?)\{\{end\}\}(\r?\n)", re.DOTALL
)
_OFFSET: Final = re.compile(r"([+-]\d+)(wd|sat|d)")
_RECEIVED: Final = re.compile(rb"^Received:[^;]*;\s*([^\r\n]+)", re.MULTILINE)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """Where the rendered sample lies, and the clock to read it by."""

    maildir: Path
    sessions: Path
    therapists: Path
    clients: Path
    authserv_id: str
    now: datetime  # later than every message, within office hours


def write_sample(folder: Path, today: date) -> Sample:
    """Render the sample into *folder* as of *today*: the same day gives the same bytes.

    At a weekend or on a bank holiday the sample plays on the working day before, so that ``now``
    falls into office hours. Files are named ``EPOCH.NAME`` after their delivery, where NAME is the
    name of the shipped file; those of an earlier day are removed. Other files in *folder* stay.
    """
    shipped = files(__name__)
    registry = _written_registry(folder / "registry", _Calendar(_working_day(today)))
    calendar = _Calendar(_working_day(today), _starts(registry["sessions"]))
    maildir = folder / "Maildir"
    _cleared(maildir)
    for entry in (shipped / "Maildir" / "new").iterdir():
        if entry.name.endswith(HOST):
            _delivered(maildir / "new", entry.name, rendered(entry.read_bytes(), calendar))
    now = datetime.combine(calendar.base, CLOCK, LONDON)
    return Sample(maildir, **registry, authserv_id=AUTHSERV_ID, now=now)


def _written_registry(folder: Path, calendar: _Calendar) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {name: folder / f"{name}.csv" for name in ("sessions", "therapists", "clients")}
    for path in tables.values():
        template = (files(__name__) / "registry" / path.name).read_bytes()
        path.write_bytes(rendered(template, calendar))
    return tables


def _starts(sessions: Path) -> dict[str, datetime]:
    rows = csv.DictReader(io.StringIO(sessions.read_text(encoding="utf-8")))
    return {
        row["session_id"].removeprefix("HT-"): datetime.fromisoformat(row["starts_at"]).replace(
            tzinfo=LONDON
        )
        for row in rows
    }


def _cleared(maildir: Path) -> None:
    for part in ("new", "cur", "tmp"):
        (maildir / part).mkdir(parents=True, exist_ok=True)
        for path in (maildir / part).iterdir():
            if path.name.partition(":")[0].endswith(HOST):  # a reader adds ":2,S" when it moves one
                path.unlink()


def _delivered(folder: Path, name: str, content: bytes) -> None:
    """Write one message under its delivery time, which is the file's own time too."""
    stamp = _RECEIVED.search(content)
    if stamp is None:
        raise ValueError(f"{name}: no Received header to tell when it was delivered")
    moment = datetime.strptime(stamp[1].decode("ascii"), "%a, %d %b %Y %H:%M:%S %z")
    epoch = int(moment.timestamp())
    path = folder / f"{epoch}.{name}"
    path.write_bytes(content)
    os.utime(path, (epoch, epoch))


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The day everything is counted from, and when each session starts."""

    base: date
    starts: Mapping[str, datetime] = field(default_factory=dict)

    def moment(self, kind: str, spec: str) -> datetime:
        if kind == "at":
            return self.starts[spec]
        offsets, _, clock = spec.partition(" ")
        day = self.base
        for count, unit in _OFFSET.findall(offsets):
            day = _shifted(day, int(count), unit)
        return datetime.combine(day, time.fromisoformat(clock or "00:00"), LONDON)


def _shifted(day: date, count: int, unit: str) -> date:
    if unit == "d":
        return day + timedelta(days=count)
    step = timedelta(days=1 if count > 0 else -1)
    while count:
        day += step
        if (day.weekday() == _SATURDAY) if unit == "sat" else (day.weekday() < _SATURDAY):
            count -= step.days
    return day


def _working_day(today: date) -> date:
    """*today*, or the last day before it on which an office in England is open."""
    from holidays import country_holidays  # here, since only the demo pays for it

    closed = country_holidays("GB", subdiv="ENG", years=(today.year - 1, today.year))
    while today.weekday() >= _SATURDAY or today in closed:
        today -= timedelta(days=1)
    return today


def rendered(template: bytes, calendar: _Calendar) -> bytes:
    """*template* with its moments filled in, then its encoded parts encoded."""

    def moment(match: re.Match[bytes]) -> bytes:
        kind, spec, form = (group.decode("ascii") for group in match.groups())
        return written(calendar.moment(kind, spec), form).encode("ascii")

    return _ENCODE.sub(_encoded, _MOMENT.sub(moment, template))


def _encoded(match: re.Match[bytes]) -> bytes:
    transfer, charset = match[1].decode("ascii"), match[2].decode("ascii")
    content = match[3].replace(b"\r\n", b"\n").decode("utf-8").encode(charset)
    if transfer == "base64":
        content = base64.encodebytes(content.replace(b"\n", b"\r\n"))
    elif transfer == "quoted-printable":
        content = quopri.encodestring(content)
    return content.replace(b"\n", match[4])


def written(moment: datetime, form: str) -> str:
    """*moment* in the format of this module's docstring, in English whatever the locale."""
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    hour = moment.hour % 12 or 12
    fields = {
        "a": day[:3], "A": day, "b": month[:3], "B": month,
        "d": f"{moment.day:02}", "e": str(moment.day), "o": f"{moment.day}{_ordinal(moment.day)}",
        "m": f"{moment.month:02}", "y": f"{moment.year % 100:02}", "Y": str(moment.year),
        "H": f"{moment.hour:02}", "k": str(moment.hour), "I": f"{hour:02}", "l": str(hour),
        "M": f"{moment.minute:02}", "S": f"{moment.second:02}",
        "p": "am" if moment.hour < 12 else "pm", "z": f"{moment:%z}", "Z": f"{moment:%Z}",
    }  # fmt: skip
    return re.sub("%([a-zA-Z])", lambda code: fields[code[1]], form)


def _ordinal(day: int) -> str:
    if day in {11, 12, 13}:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
