"""The folder that an archive is read into: how it was cut, what is done, and what is whole.

``cut.jsonl`` names the parts, a line each, as they were when the folder was begun: an archive that
grows meanwhile is read as it was then. ``manifest.json`` says what was read, with what, and, once
all is done, which files make up the whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ingest.parts import Part
from review.desk import UsageProblemError
from review.part_files import Counts, path_of

_MANIFEST: Final = "manifest.json"
_CUT: Final = "cut.jsonl"
#: What a folder may hold that somebody was killed over before it was begun.
_UNFINISHED: Final = frozenset({_CUT, f".{_CUT}.new", f".{_MANIFEST}.new"})


@dataclass(frozen=True, slots=True)
class ReadFolder:
    """A folder begun for one archive, read in one way."""

    path: Path
    identity: Mapping[str, Any]  # what must be the same for going on in it

    @classmethod
    def begin(
        cls, path: Path, identity: Mapping[str, Any], parts: Iterable[Part], *, resume: bool
    ) -> ReadFolder:
        """The folder, new or as it was left.

        Raises:
            UsageProblemError: It holds something already, or something else than is to be gone on
                with.

        """
        folder = cls(path, identity)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder._stored()
        if resume and found is not None:
            if unlike := [name for name in identity if found.get(name) != identity[name]]:
                msg = f"{path} was begun with another {', '.join(unlike)}: begin a new folder"
                raise UsageProblemError(msg)
            return folder
        if any(file.name not in _UNFINISHED for file in path.iterdir()):
            raise UsageProblemError(f"{path} is not empty: go on with --resume, or give another")
        lines = (json.dumps(asdict(part)) + "\n" for part in parts)
        folder._write(_CUT, lines)
        folder._write(_MANIFEST, [json.dumps(identity, indent=1)])
        return folder

    def parts(self) -> Iterator[Part]:
        """The parts as the archive was cut first."""
        with (self.path / _CUT).open(encoding="utf-8") as lines:
            for line in lines:
                yield Part.of(json.loads(line))

    def number(self) -> int:
        """How many parts there are."""
        with (self.path / _CUT).open("rb") as lines:
            return sum(1 for _ in lines)

    def finish(self, keys: Sequence[str], counts: Counts) -> None:
        """Say which files make up the whole; whatever else lies there from tries is removed."""
        files = [path_of(self.path, key).name for key in keys]
        done = {**self.identity, "complete": True, **asdict(counts), "files": sorted(files)}
        self._write(_MANIFEST, [json.dumps(done, indent=1)])
        kept = set(files)
        for path in (*self.path.glob("part-*"), *self.path.glob(".part-*")):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """The files that make up the whole, once it is finished."""
        return [self.path / name for name in (self._stored() or {}).get("files", ())]

    def _stored(self) -> dict[str, Any] | None:
        try:
            stored: dict[str, Any] = json.loads((self.path / _MANIFEST).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            raise UsageProblemError(f"{self.path / _MANIFEST} is damaged") from None
        return stored

    def _write(self, name: str, lines: Iterable[str]) -> None:
        being_written = self.path / f".{name}.new"
        handle = os.open(being_written, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.writelines(lines)
            stream.flush()
            os.fsync(stream.fileno())
        being_written.replace(self.path / name)


def told_apart(value: object) -> str:
    """Sixteen digits that stand for *value* where it is not to be shown."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
