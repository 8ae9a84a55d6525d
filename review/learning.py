"""What the store holds, handed to the data team's commands as their own values."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models.handover import Judgement, LiveReading, LiveReadings, StoredCase
from store.readings import NOT_READ
from triage.splitting import went_into

if TYPE_CHECKING:
    import pandas as pd

    from review.desk import Desk
    from settings import Settings
    from store import CaseRow, CaseStory, Store


class StoredCases:
    """Every case of the configured store, closed ones too; opened while it is gone through."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def cases(self) -> Iterator[StoredCase]:
        """Cases in the order of their numbers."""
        from review.desk import store_of

        with store_of(self._settings) as store:
            yield from stored_cases(store)

    def shadows(
        self, candidate: str, champion: str, since: datetime | None = None, *, digest: str = ""
    ) -> LiveReadings | None:
        """As ``models.handover.Archive`` says; no database is made for the question."""
        from models.shadow import version_of
        from store import open_store

        champion = champion or version_of(self._settings.model)
        url = self._settings.database_url
        if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
            return None
        with open_store(url, keys=self._settings.encryption.place()) as store:
            return live_readings(store, candidate, champion, since, digest=digest)


def live_readings(
    store: Store,
    candidate: str,
    champion: str,
    since: datetime | None = None,
    *,
    digest: str = "",
) -> LiveReadings | None:
    """The stored shadow readings of a candidate, handed to the data team's commands."""
    known = store.shadows.candidates()
    fits = (one for one in known if candidate in ("", one.name) and digest in ("", one.digest))
    found = next(fits, None)
    if found is None:
        return None
    stored = store.shadows.readings(found.id, champion, since)
    readings = tuple(
        LiveReading(
            mail=one.mail,
            pairs=one.read.pairs,
            differences=one.read.differences,
            sides={(said.field, said.ask): said.side for said in one.verdicts},
            seconds=one.read.seconds,
            problem=one.read.problem,
        )
        for one in stored
    )
    return LiveReadings(found.name, found.digest, champion, found.problem, readings)


def archive_at(desk: Desk) -> StoredCases:
    """What the desk's store holds."""
    return StoredCases(desk.settings())


def stored_cases(store: Store) -> Iterator[StoredCase]:
    """Every case of *store* with its mails and the verdicts that stand."""
    rows = [
        *store.queue(include_closed=True),
        *store.queue(queue="general", include_closed=True),
    ]
    by_number = {row.case_id: row for row in rows}
    own = [row for row in by_number.values() if went_into(row.request) is None]
    asks = Counter(row.message_ids[0] for row in own if row.message_ids)
    judgements: dict[int, list[Judgement]] = defaultdict(list)
    for stored in store.verdicts():
        judgement = Judgement(stored.verdict, stored.request, stored.reader_version)
        judgements[stored.verdict.case_id].append(judgement)
    for number, row in sorted(by_number.items()):
        story = store.case(number)
        if story is not None and story.messages:
            yield _stored(row, story, asks[row.message_ids[0]], tuple(judgements[number]))


def _stored(
    row: CaseRow, story: CaseStory, asks: int, judgements: tuple[Judgement, ...]
) -> StoredCase:
    made = story.decisions
    standing = max(n for n, one in enumerate(made) if one.request == row.request)  # or undone
    read = [one for one in made[: standing + 1] if one.reader_version not in NOT_READ]
    return StoredCase(
        case_id=row.case_id,
        emails=tuple(message.email for message in story.messages),
        request=row.request,
        decision=row.decision,
        reader_version=read[-1].reader_version if read else "",
        read=read[-1].request if read else None,
        therapist_id=row.therapist_id,
        session_id=row.session_id,
        client_id=row.client_id,
        asks=asks,
        judgements=judgements,
        part_of=went_into(row.request),
    )


def stored_dataframe(
    url: str, key: bytes = b"", *, text: bool = False, key_file: Path | None = None
) -> pd.DataFrame:
    """Stored messages, predictions and verdicts of the database at *url*, pseudonymised, in one go.

    As ``fit-triage models frame`` writes them; see ``models.frames.stored_frame``. *key_file* is
    for a database whose texts are sealed.
    """
    from models.frames import stored_frame
    from models.masking import common_words
    from store import KeyPlace, open_store

    common = common_words() if text else frozenset()
    keys = KeyPlace(key_file) if key_file else None
    with open_store(url, keys=keys) as store:
        return stored_frame(stored_cases(store), key, text=text, common=common)
