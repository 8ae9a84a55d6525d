"""The forms of Label Studio, Argilla, Prodigy and spaCy, each written and read back.

Sources: Label Studio's "Task format" and "Import pre-annotated data", Argilla 2's record reference
(``Dataset.records.to_json``), Prodigy's "choice" and "blocks" interfaces, spaCy's ``DocBin``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from models.exchange import CHOICES, EVIDENCE, FLAGS, TEXTS, Marks, Task
from triage.labels import CODE_SETS

_Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """How tasks are written to a file and read from one that people have worked on."""

    suffix: str
    write: Callable[[Sequence[Task], Path], None]
    read: Callable[[Path], list[Task]]


# --- Label Studio ---------------------------------------------------------------------------------


def label_studio_config() -> str:
    """The labelling interface that the tasks are made for."""
    lines = ["<View>", '  <Text name="text" value="$text"/>']
    lines += [
        f'  <Labels name="{EVIDENCE}" toName="text">',
        f'    <Label value="{EVIDENCE}"/>',
        "  </Labels>",
    ]
    for name, codes in CHOICES.items():
        style = "multiple" if name in CODE_SETS else "single"
        lines.append(f'  <Header value="{name}"/>')
        lines.append(f'  <Choices name="{name}" toName="text" choice="{style}">')
        lines += [f"    <Choice value={quoteattr(code)}/>" for code in codes]
        lines.append("  </Choices>")
    lines += [f'  <TextArea name="{name}" toName="text" maxSubmissions="1"/>' for name in TEXTS]
    return "\n".join([*lines, "</View>"]) + "\n"


def _to_label_studio(tasks: Sequence[Task], path: Path) -> None:
    content = []
    for task in tasks:
        entry: dict[str, Any] = {
            "data": {"text": task.text, "message": task.message, "ask": task.ask}
        }
        if task.given is not None:
            # Without completed_by: the address of nobody it knows makes it refuse the whole file.
            entry["annotations"] = [{"result": list(_results(task.given, task.text))}]
            entry["data"]["by"] = task.by
        if task.suggested is not None:
            result = list(_results(task.suggested, task.text))
            known = {"model_version": task.version, "score": task.sure}
            entry["predictions"] = [{**known, "result": result}]
        content.append(entry)
    _write_json(path, content)
    path.with_suffix(".xml").write_text(label_studio_config(), encoding="utf-8")


def _results(marks: Marks, text: str) -> Iterator[dict[str, Any]]:
    for name, codes in marks.choices.items():
        if codes:
            yield _result(name, "choices", {"choices": list(codes)})
    for name, words in marks.texts.items():
        if words:
            yield _result(name, "textarea", {"text": [words]})
    if marks.evidence:
        start, end = marks.evidence
        value = {"start": start, "end": end, "text": text[start:end], "labels": [EVIDENCE]}
        yield _result(EVIDENCE, "labels", value)


def _result(name: str, kind: str, value: _Json) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "text", "type": kind, "value": dict(value)}


def _from_label_studio(path: Path) -> list[Task]:
    tasks = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        data = entry["data"]
        kept = [a for a in entry.get("annotations", ()) if not a.get("was_cancelled")]
        who = kept[-1].get("completed_by", data.get("by", "")) if kept else ""
        tasks.append(
            Task(
                message=data["message"],
                ask=int(data["ask"]),
                text=data["text"],
                given=_marks(kept[-1]["result"]) if kept else None,
                by=str(who.get("email", "")) if isinstance(who, dict) else str(who),
            )
        )
    return tasks


def _marks(results: Iterable[_Json]) -> Marks:
    choices: dict[str, tuple[str, ...]] = {}
    texts: dict[str, str] = {}
    evidence = None
    for result in results:
        name, value = result["from_name"], result["value"]
        if result["type"] == "choices":
            choices[name] = tuple(value["choices"])
        elif result["type"] == "textarea":
            texts[name] = " ".join(value["text"])
        elif result["type"] == "labels":
            evidence = (int(value["start"]), int(value["end"]))
    return _checked(choices, texts, evidence)


# --- Argilla --------------------------------------------------------------------------------------


def _to_argilla(tasks: Sequence[Task], path: Path) -> None:
    content = []
    for task in tasks:
        suggestions = {
            name: {"value": value, "score": task.sure if name == "kind" else None}
            | {"agent": task.version}
            for name, value in _answers(task.suggested)
        }
        content.append(
            {
                "id": task.key,
                "fields": {"text": task.text},
                "metadata": {"message": task.message, "ask": task.ask, "by": task.by},
                "suggestions": suggestions,
                "responses": {
                    name: [{"value": value, "user_id": _user(task.by)}]
                    for name, value in _answers(task.given)
                },
                "vectors": {},
            }
        )
    _write_json(path, content)


def _answers(marks: Marks | None) -> Iterator[tuple[str, Any]]:
    """Question and value: labels, lists of labels, texts, and spans."""
    if marks is None:
        return
    for name, codes in marks.choices.items():
        if codes:
            yield name, list(codes) if name in CODE_SETS else codes[0]
    yield from ((name, words) for name, words in marks.texts.items() if words)
    if marks.evidence:
        start, end = marks.evidence
        yield EVIDENCE, [{"start": start, "end": end, "label": EVIDENCE}]


def _from_argilla(path: Path) -> list[Task]:
    tasks = []
    for record in json.loads(path.read_text(encoding="utf-8")):
        given = {name: r[-1] for name, r in (record.get("responses") or {}).items() if r}
        values = {name: response["value"] for name, response in given.items()}
        spans = values.pop(EVIDENCE, None) or []
        choices = {
            name: tuple(value) if isinstance(value, list) else (str(value),)
            for name, value in values.items()
            if name in CHOICES
        }
        texts = {name: str(value) for name, value in values.items() if name in TEXTS}
        span = (int(spans[0]["start"]), int(spans[0]["end"])) if spans else None
        known = record["metadata"]
        user = str(next(iter(given.values()))["user_id"]) if given else ""
        by = known.get("by", "")
        tasks.append(
            Task(
                message=known["message"],
                ask=int(known["ask"]),
                text=record["fields"]["text"],
                given=_checked(choices, texts, span) if given else None,
                by=by if user == _user(by) else user,
            )
        )
    return tasks


def _user(by: str) -> str:
    """Argilla wants users as UUIDs: the same for the same name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"fit-triage:{by}"))


# --- Prodigy --------------------------------------------------------------------------------------


def _to_prodigy(tasks: Sequence[Task], path: Path) -> None:
    """One line per task; what is suggested stands accepted already, for a person to change."""
    options = [
        {"id": f"{n}:{c}", "text": f"{n}: {c}"} for n, codes in CHOICES.items() for c in codes
    ]
    lines = []
    for task in tasks:
        marks = task.given or task.suggested or Marks({})
        line: dict[str, Any] = {
            "text": task.text,
            "options": options,
            "accept": [f"{n}:{code}" for n, codes in marks.choices.items() for code in codes],
            "spans": [],
            "config": {"choice_style": "multiple"},
            "meta": {"message": task.message, "ask": task.ask, "version": task.version},
            **marks.texts,
        }
        if marks.evidence:
            start, end = marks.evidence
            line["spans"] = [{"start": start, "end": end, "label": EVIDENCE}]
        if task.given is not None:
            line |= {"answer": "accept", "_annotator_id": task.by}
        lines.append(json.dumps(line, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _from_prodigy(path: Path) -> list[Task]:
    tasks = []
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        choices: dict[str, tuple[str, ...]] = {}
        for option in line.get("accept", ()):
            name, _, code = option.partition(":")
            choices[name] = (*choices.get(name, ()), code)
        spans = [(int(s["start"]), int(s["end"])) for s in line.get("spans") or ()]
        texts = {name: line[name] for name in TEXTS if line.get(name)}
        accepted = line.get("answer") == "accept"
        tasks.append(
            Task(
                message=line["meta"]["message"],
                ask=int(line["meta"]["ask"]),
                text=line["text"],
                given=_checked(choices, texts, spans[0] if spans else None) if accepted else None,
                by=line.get("_annotator_id", ""),
            )
        )
    return tasks


# --- spaCy ----------------------------------------------------------------------------------------


def _to_docbin(tasks: Sequence[Task], path: Path) -> None:
    """Choices as ``doc.cats`` ("kind:referral"), evidence as ``doc.spans``; else user data."""
    import spacy
    from spacy.tokens import DocBin

    nlp = spacy.blank("en")
    docs = []
    for task in tasks:
        doc = nlp.make_doc(task.text)
        marks = task.given or Marks({})
        doc.cats = {
            f"{name}:{code}": float(code in marks.choices.get(name, ()))
            for name, codes in CHOICES.items()
            for code in codes
        }
        span = marks.evidence and doc.char_span(*marks.evidence, EVIDENCE, alignment_mode="expand")
        doc.spans[EVIDENCE] = [span] if span else []
        doc.user_data["task"] = {
            "message": task.message,
            "ask": task.ask,
            "by": task.by,
            "labelled": task.given is not None,
            "texts": dict(marks.texts),
        }
        docs.append(doc)
    DocBin(store_user_data=True, docs=docs).to_disk(path)


def _from_docbin(path: Path) -> list[Task]:
    import spacy
    from spacy.tokens import DocBin

    tasks = []
    for doc in DocBin().from_disk(path).get_docs(spacy.blank("en").vocab):
        known = doc.user_data["task"]
        choices = {
            name: tuple(code for code in codes if doc.cats.get(f"{name}:{code}", 0) >= 0.5)
            for name, codes in CHOICES.items()
        }
        spans = [(s.start_char, s.end_char) for s in doc.spans.get(EVIDENCE, ())]
        given = _checked(choices, known["texts"], spans[0] if spans else None)
        tasks.append(
            Task(
                message=known["message"],
                ask=known["ask"],
                text=doc.text,
                given=given if known["labelled"] else None,
                by=known["by"],
            )
        )
    return tasks


def _checked(
    choices: Mapping[str, tuple[str, ...]],
    texts: Mapping[str, str],
    evidence: tuple[int, int] | None,
) -> Marks:
    """The marks, all of whose codes must be ours. Raises ValueError."""
    for name, codes in choices.items():
        unknown = [code for code in codes if code not in CHOICES.get(name, ())]
        if unknown:
            raise ValueError(f"{name} {unknown[0]!r} is no label of the guideline")
        if len(codes) > 1 and name not in CODE_SETS:
            raise ValueError(f"{name} {', '.join(codes)}: one of them is wanted")
    whole = {name: choices.get(name, ("false",) if name in FLAGS else ()) for name in CHOICES}
    return Marks(whole, {name: texts.get(name, "") for name in TEXTS}, evidence)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


FORMATS: Final[Mapping[str, Format]] = {
    "label-studio": Format(".json", _to_label_studio, _from_label_studio),
    "argilla": Format(".json", _to_argilla, _from_argilla),
    "prodigy": Format(".jsonl", _to_prodigy, _from_prodigy),
    "spacy": Format(".spacy", _to_docbin, _from_docbin),
}
