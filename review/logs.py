"""The log for machines: one JSON object a line, with ids, counts and codes and nothing else.

What may be in a line is a table, and each field has a check of its own: a word that is no code we
know is left out, and counted in ``left_out``. So no name, address or text gets in by a slip, nor
by a library that logs what it reads: of such a line its logger and level are kept.

Modules log as usual, with what happened in ``extra``: ``log.info("…", extra={"event": "migrated",
"schema": "0005"})``. Unless the log is written so, warnings go to standard error as Python has it.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final, Literal, get_args

import typer

How = Literal["plain", "json"]
#: What happens, and how much it matters to whoever reads the log.
EVENTS: Final[Mapping[str, Literal["info", "warning", "error"]]] = {
    "run_started": "info",
    "run_finished": "info",
    "run_does_not_add_up": "error",
    "message_quarantined": "warning",
    "source_failed": "error",
    "connection_lost": "warning",
    "folder_renumbered": "warning",
    "folder_went_back": "warning",
    "messages_gone": "warning",
    "not_listening": "warning",
    "lease_taken_over": "warning",
    "lease_lost": "warning",
    "delivered": "info",
    "delivery_failed": "error",
    "alert_told": "warning",
    "alert_untold": "error",
    "model_refused": "error",
    "migrated": "info",
    "backed_up": "info",
    "backup_deleted": "info",
    "restored": "warning",
    "registry_imported": "info",
    "sign_in_refused": "warning",
    "page_failed": "error",
    "ended": "error",  # a command, and why
    "bug": "error",
    "library": "warning",  # somebody else's words, left out
}
#: Our packages; what others log matters only where it is a warning.
_OURS: Final = ("ingest", "models", "pipeline", "review", "settings", "store", "triage")


def _is_count(value: object) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _fits(pattern: str) -> Callable[[object], bool]:
    found = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and found.fullmatch(value) is not None


@lru_cache(maxsize=1)
def _vocabulary() -> Mapping[str, frozenset[str]]:
    """The codes that there are, by field; read from the tables that make them."""
    from ingest.limits import CAUSES
    from review.access.provider import PROBLEMS
    from review.alerting import What
    from review.problems import RUNBOOKS
    from store.outbox import STATES
    from triage.verdicts import Channel

    lost = {"oversize", "unfetchable", "killed_reader", "vanished"}
    return {
        "cause": frozenset(CAUSES) | lost,
        "channel": frozenset(get_args(Channel)),
        "kind": frozenset({"sessions", "therapists", "clients"}),
        "problem": frozenset(RUNBOOKS),
        "refusal": frozenset(PROBLEMS),
        "state": frozenset(STATES) | {"later"},
        "status": frozenset({"done", "failed"}),
        "way": frozenset({"command", "webhook", "mail"}),
        "what": frozenset(get_args(What)),
    }


def _is_code(field: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in _vocabulary()[field]


def _is_error(value: object) -> bool:
    """The name of an exception that there is: no person has one."""

    def names(kind: type[BaseException]) -> set[str]:
        return {kind.__name__}.union(*(names(one) for one in kind.__subclasses__()))

    return isinstance(value, str) and value in names(BaseException)


def _is_cause(value: object) -> bool:
    if isinstance(value, str) and value.startswith("bug:"):
        return _is_error(value.removeprefix("bug:"))
    return _is_code("cause")(value)


_SCHEMA: Final = _fits(r"\d{4}|none")
#: Every field that there may be, and what may be in it.
FIELDS: Final[Mapping[str, Callable[[object], bool]]] = {
    **dict.fromkeys(
        (
            "run_id", "case_id", "message_id", "quarantine_id", "outbox_id", "uid", "uidvalidity",
            "source", "sources", "fetched", "queued", "general", "quarantined", "already_known",
            "vanished", "stored", "adds_up", "seconds", "count", "attempts", "token", "exit_code",
            "messages", "cases", "bytes", "rejected", "refused_login",
        ),
        _is_count,
    ),
    **{
        name: _is_code(name)
        for name in ("channel", "kind", "problem", "refusal", "state", "status", "way", "what")
    },
    "cause": _is_cause,
    "error": _is_error,
    "answer": _fits(r"(HTTP|SMTP) \d{3}"),
    "lease": _fits(r"[0-9a-f]{12}"),  # as in the name of its file
    "schema": _SCHEMA,
    "schema_before": _SCHEMA,
    "place": _fits(r"[a-z_]+(/[a-z_0-9]+)*\.py:\d+"),  # in our own code
}  # fmt: skip
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "event"}


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON; its words are not in it."""

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", "")
        known = isinstance(event, str) and event in EVENTS
        code = event if known else "library"
        told, left_out = _told(record) if known else ({}, 0)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": EVENTS[code] if known else record.levelname.lower(),
            "event": code,
            "logger": _module(record.name),
            "pid": record.process,
            **told,
        }
        if record.exc_info and record.exc_info[0]:
            line |= _where(record.exc_info[1])
        if left_out:
            line["left_out"] = left_out
        return json.dumps(line)  # ASCII alone: no line breaks, no terminal's codes


def _told(record: logging.LogRecord) -> tuple[dict[str, Any], int]:
    given = {name: value for name, value in vars(record).items() if name not in _USUAL}
    told = {n: v for n, v in given.items() if v is not None and n in FIELDS and FIELDS[n](v)}
    return told, sum(value is not None for value in given.values()) - len(told)


def _module(name: str) -> str:
    """The logger, where it is a module or a part of one that is loaded; else no more than that."""
    known = name in sys.modules or name.partition(".")[0] in sys.modules
    return name if known and re.fullmatch(r"[A-Za-z_][\w.]{0,80}", name, re.ASCII) else "other"


def _where(error: BaseException | None) -> dict[str, Any]:
    """Which error it was and the last line of ours that it came through, without its words."""
    if error is None:
        return {}
    root = Path(__file__).parents[1]
    frames = [Path(frame.filename) for frame in extract_tb(error.__traceback__)]
    lines = [frame.lineno for frame in extract_tb(error.__traceback__)]
    ours = [
        f"{path.relative_to(root).as_posix()}:{line}"
        for path, line in zip(frames, lines, strict=True)
        if path.is_relative_to(root)
        and path.relative_to(root).parts[0].removesuffix(".py") in _OURS
    ]
    found = {"error": type(error).__name__, "place": ours[-1] if ours else ""}
    return {name: value for name, value in found.items() if FIELDS[name](value)}


class _Lines(logging.StreamHandler[Any]):
    """To standard error, whatever that is at the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(JsonLines())
        self.addFilter(lambda record: record.levelno >= logging.WARNING or _is_ours(record.name))

    @property
    def stream(self) -> Any:  # noqa: ANN401 - as its base has it
        return sys.stderr


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in _OURS


def write(how: How) -> None:
    """Have the log written *how* from now on; may be said again at any time."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Lines)]:
        root.removeHandler(handler)
    if how == "json":
        root.addHandler(_Lines())
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO if how == "json" else logging.NOTSET)
    logging.captureWarnings(how == "json")
    threading.excepthook = _thread_died if how == "json" else threading.__excepthook__


def is_json() -> bool:
    return any(isinstance(one, _Lines) for one in logging.getLogger().handlers)


def complain(words: str, event: str, **fields: object) -> None:
    """Say on standard error what is wrong: in words for people, or as *event* in the log."""
    if is_json():
        logging.getLogger(__name__).error(event, extra={"event": event, **fields})
    else:
        typer.echo(f"fit-triage: {words}", err=True)


def crashed(error: BaseException) -> None:
    """Put a bug of ours into the log, without its words: they may be mail."""
    told = {"event": "bug"}
    logging.getLogger(__name__).error("bug", exc_info=error, extra=told)


def _thread_died(died: threading.ExceptHookArgs) -> None:
    if died.exc_value is not None:
        crashed(died.exc_value)
