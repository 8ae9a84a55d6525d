"""How much of what names somebody redaction takes away, and how much of the rest it leaves.

``python tests/measure_redaction.py [--misses N]``: the corpora, with nothing known of a message but
its From header: no registry, no reading. What is looked for is told by others than the redactor:

- the corpora's labels (clients as they are called, session ids) and their From headers;
- planted values: clients renamed by Faker in thirteen locales, and sentences with names,
  telephone numbers, addresses, mail addresses, ids and dates of birth in the forms people use.

The words that count as everyday are learned from the other files than the one that is measured.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from models.corpus import Corpus, Example, load_corpus
from models.features import known_words
from models.masking import vocabulary
from triage.language import fold
from triage.names import fold as folded
from triage.names import written
from triage.redaction import Vocabulary, redact

LOCALES = (
    "en_GB", "en_IN", "en_NG", "pl_PL", "tr_TR", "es_ES", "pt_PT", "it_IT", "fr_FR", "de_DE",
    "ro_RO", "en_IE", "nl_NL",
)  # fmt: skip
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
NAME_LINES = (
    "My supervisor {name} agrees with me.",
    "{first} would prefer a female therapist.",
    "Her partner, {name}, rang me yesterday.",
    "I discussed it with {name} at the practice.",
    "{name} has told me that the sessions upset her.",
    "GP is Dr {last}, who made the referral.",
    "My client is {name} and we have met four times.",
    "Please copy in {first}.",
    "Mrs {last} knows about this.",
    "I saw {first} last week and {first}'s mother came too.",
    "my client {small} doesn't want to go on",
    "Client: {upper}",
    "client name {name}, new since May",
    "Cancel {first} please",
)
PHONE_LINES = (
    "You can ring me on {phone}.", "Mobile {phone}", "my number is {phone} after 6pm",
    "Tel: {phone}", "Her mum can be reached at {phone}, mornings only.", "call {phone} pls",
)  # fmt: skip
ADDRESS_LINES = (
    "She lives at {address}.", "The practice is at {address}", "Please write to me: {address}",
    "he has moved to {address} and cannot travel", "My new rooms are at {address}.",
)  # fmt: skip
EMAIL_LINES = (
    "Her email is {email}.", "write to {email} instead", "Contact: {email}", "<{email}>",
)  # fmt: skip
ID_LINES = {
    "session id": ("Session {id} on Monday.", "re {id}", "booking {id} please", "it's {id}."),
    "client id": ("Client id {id}.", "client ref {id} is the one", "(client no. {id})"),
    "NHS number": ("NHS number {id}.", "Her NHS no is {id}", "NHS: {id}"),
    "date of birth": ("DOB {id}.", "date of birth {id}", "She was born on {id}.", "(dob: {id})"),
}  # fmt: skip


@dataclass
class Told:
    """Per kind: how many there were, how many are left, and some of those."""

    there: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    misses: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def count(self, kind: str, before: int, after: int, text: str, what: str) -> None:
        if before:
            self.there[kind] += before
            self.left[kind] += min(after, before)
            if after:
                self.misses[kind].append(f"{what!r} in {around(what, text)!r}")


def around(what: str, text: str) -> str:
    """Where it is left, with some words before and after."""
    at = max(0, text.find(what) if what else 0)
    return text[max(0, at - 60) : at + len(what) + 60]


def occurrences(what: str, text: str) -> int:
    """How often the word or value stands in *text*, white space and punctuation in it apart."""
    pieces = [re.escape(piece) for piece in re.findall(r"\w+", what)]
    value = r"[\W_]{0,3}".join(pieces)
    return len(re.findall(rf"(?<!\w){value}(?![^\W_])", text))


def labelled_names(example: Example) -> tuple[set[str], set[str]]:
    """The naming words of the clients as labelled, and their initials, as they are written."""
    words, initials = set(), set()
    for request in example.requests:
        reference = request.client_ref or ""
        found = written(reference)
        if found is None or (not found.capitalised and len(found.words) > 1):
            continue
        for token in re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", fold(reference).text):
            word = token.removesuffix("'s")
            if (
                folded(word).replace(" ", "-") in found.words
                and len(word) > 1
                and word.lower() not in HANDLES
            ):
                words |= {word} if word[0].isupper() or not found.capitalised else set()
        if re.fullmatch(r"(?:[A-Z]\. ?){1,3}|[A-Z]{2}", reference.strip()):
            initials.add(reference.strip())
    return words, initials


def measure_labels(example: Example, words: Vocabulary, told: Told) -> None:
    email = example.email
    said = redact(
        (email.subject, email.new_text), words, names=[email.sender.name], year=email.sent_at.year
    )
    before, after = fold(f"{email.subject}\n{email.new_text}").text, "\n".join(said.texts)
    names, initials = labelled_names(example)
    for name in names:
        told.count(
            "client's name, as labelled",
            occurrences(name, before),
            occurrences(name, after),
            after,
            name,
        )
    for some in initials:
        there, left = (len(re.findall(rf"(?<!\w){re.escape(some)}", t)) for t in (before, after))
        told.count("client's initials, as labelled", there, left, after, some)
    for part in re.findall(r"[^\W\d_]{3,}", email.sender.name):
        if part[0].isupper() and part.lower() not in TITLES:
            told.count(
                "sender's name", occurrences(part, before), occurrences(part, after), after, part
            )
    for request in example.requests:
        for session in request.session_ids:
            digits = re.sub(r"\D", "", session)
            spaced = r"[\s._-]?".join(digits)
            there, left = (len(re.findall(rf"(?<!\d){spaced}(?!\d)", t)) for t in (before, after))
            told.count("session id, as labelled", there, left, after, session)


#: In labels these are handles of a booking ("Tomorrow's 3pm", "the first"), no names.
HANDLES = set(
    """
    adhd baker big boy brothers chap client couple eight eleven ever exhibit family first five
    fourth friend gentleman girl guy half her herself himself his ht lad lady lass leeds little
    man mum new nine noon o'clock one other parents past pilot rabbi second session seven sisters
    six teacher ten third this today tomorrow tonight twins two woman yesterday your
    """.split()  # noqa: SIM905 - a list of words is read as one
)
ADDRESSES = re.compile(r"\S*(?:@|://|www\.|\.(?:example|com|uk|org))\S*")
#: Of ids and addresses.
NO_WORDS = {"ht", "https", "http", "www", "example", "com", "uk", "co", "nhs"}
TITLES = set(
    """
    admin and associates bookings centre clinic consulting counselling from health mental miss mrs
    office payments practice private prof psychology psychotherapy reception rev rooms services
    support team the therapies therapy via wellbeing
    """.split()  # noqa: SIM905 - a list of words is read as one
)


def fakers(seed: int):
    from faker import Faker

    Faker.seed(seed)
    return [Faker(locale) for locale in LOCALES]


def a_name(lot: random.Random, generators) -> tuple[str, str]:
    """First and last name of a culture by lot, in Latin letters."""
    generator = lot.choice(generators)
    return generator.first_name().split()[0], generator.last_name()


def a_phone(lot: random.Random) -> str:
    """A number for drama (Ofcom), in one of the forms people write."""
    mobile = f"07700 900{lot.randrange(1000):03d}"
    land = (
        lot.choice(("020 7946 0", "0117 496 0", "0161 496 0", "01632 960"))
        + f"{lot.randrange(1000):03d}"
    )
    number = lot.choice((mobile, mobile, land))
    bare = number.replace(" ", "")
    forms = (
        number, bare, f"+44 {number[1:]}", f"+44{bare[1:]}", f"+44 (0){number[1:]}",
        f"0044 {number[1:]}", " ".join(re.findall("..?", bare)),
        f"({number.split()[0]}) {' '.join(number.split()[1:])}", number.replace(" ", "-"),
        number.replace(" ", "."), f"{bare[:5]} {bare[5:8]} {bare[8:]}",
        spoken(bare), spoken(bare, ", "),
    )  # fmt: skip
    return lot.choice(forms)


def spoken(digits: str, gap: str = " ") -> str:
    names = ("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    said, at = [], 0
    while at < len(digits):
        double = at + 1 < len(digits) and digits[at] == digits[at + 1]
        said.append(("double " if double else "") + names[int(digits[at])])
        at += 2 if double else 1
    return gap.join(said)


def an_address(lot: random.Random, british) -> tuple[str, tuple[str, ...]]:
    """An address, and its parts that must go: the street's line and the postcode."""
    street, city, code = (
        british.street_address().replace("\n", ", "),
        british.city(),
        british.postcode(),
    )
    forms = (
        f"{street}, {city}, {code}", f"{street}, {city} {code}", f"{street}, {code}",
        f"{street}, {city}, {code.lower()}", f"{street}\n{city}\n{code}",
    )  # fmt: skip
    return lot.choice(forms), (street.split(", ")[-1], code)


def an_id(lot: random.Random, kind: str) -> str:
    digits = f"{lot.randrange(100_000, 1_000_000)}"
    if kind == "session id":
        return lot.choice(
            (
                f"HT-{digits}",
                f"HT{digits}",
                f"ht {digits}",
                f"HT - {digits}",
                f"#{digits}",
                f"ht-{digits}",
            )
        )
    if kind == "client id":
        return lot.choice(
            (f"C-{digits}", f"CL{digits}", digits, f"C{digits[:4]}", f"c-{digits[:5]}")
        )
    if kind == "NHS number":
        nine = f"{lot.randrange(400_000_000, 500_000_000)}"
        rest = (11 - sum(int(d) * (10 - n) for n, d in enumerate(nine)) % 11) % 11
        ten = nine + str(rest % 10)
        return lot.choice(
            (f"{ten[:3]} {ten[3:6]} {ten[6:]}", ten, f"{ten[:3]}-{ten[3:6]}-{ten[6:]}")
        )
    day, month, year = lot.randrange(1, 29), lot.randrange(1, 13), lot.randrange(1940, 2010)
    name = MONTHS[month - 1]
    forms = (
        f"{day:02d}/{month:02d}/{year}", f"{day}.{month}.{year % 100:02d}", f"{day} {name} {year}",
        f"{year}-{month:02d}-{day:02d}", f"{day}th {name[:3]} {year}", f"{day}/{month}/{year}",
    )  # fmt: skip
    return lot.choice(forms)


def renamed(example: Example, lot: random.Random, generators) -> tuple[str, str, str] | None:
    """The message with its client's first word of name replaced by another; text and new name."""
    names, _ = labelled_names(example)
    told = [n for n in sorted(names) if n[0].isupper() and occurrences(n, example.email.new_text)]
    if not told:
        return None
    first, last = a_name(lot, generators)
    other = lot.choice((first, first, last))
    swap = re.compile(rf"(?<!\w){re.escape(told[0])}(?![^\W_])")
    return (
        swap.sub(other, example.email.subject),
        swap.sub(other, fold(example.email.new_text).text),
        other,
    )


def measure_planted(
    example: Example, words: Vocabulary, told: Told, lot: random.Random, generators
) -> None:
    email, year = example.email, example.email.sent_at.year
    if found := renamed(example, lot, generators):
        subject, text, name = found
        said = redact((subject, text), words, names=[email.sender.name], year=year)
        before, after = fold(f"{subject}\n{text}").text, "\n".join(said.texts)
        for part in name_words(name):
            told.count(
                "client renamed", occurrences(part, before), occurrences(part, after), after, part
            )
    for kind, line, gone in planted(lot, generators):
        paragraphs = email.new_text.split("\n\n")
        paragraphs.insert(lot.randrange(len(paragraphs) + 1), line)
        text = "\n\n".join(paragraphs)
        [after] = redact((text,), words, names=[email.sender.name], year=year).texts
        before = fold(text).text
        for what in gone:
            there = occurrences(what, before)
            base = there - occurrences(what, fold(line).text)
            left = occurrences(what, after)
            told.count(kind, there - base, left, after, what)


def name_words(name: str) -> list[str]:
    return [part for part in re.findall(r"[^\W\d_]{2,}", fold(name).text) if part[0].isupper()]


def planted(lot: random.Random, generators) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Kind, line, and what of it must go."""
    first, last = a_name(lot, generators)
    line = lot.choice(NAME_LINES)
    full = f"{first} {last}"
    told = line.format(name=full, first=first, last=last, small=first.lower(), upper=full.upper())
    parts = {
        "{name}": name_words(full), "{first}": [first], "{last}": name_words(last),
        "{small}": [first.lower()], "{upper}": [p.upper() for p in name_words(full)],
    }  # fmt: skip
    gone = next(value for key, value in parts.items() if key in line)
    kind = "planted name written small" if "{small}" in line else "planted name"
    yield kind, told, tuple(gone)
    phone = a_phone(lot)
    yield "telephone number", lot.choice(PHONE_LINES).format(phone=phone), (phone,)
    address, gone_too = an_address(lot, generators[0])
    yield "postal address", lot.choice(ADDRESS_LINES).format(address=address), gone_too
    email = lot.choice(generators).ascii_safe_email()
    yield "mail address", lot.choice(EMAIL_LINES).format(email=email), (email,)
    for kind, lines in ID_LINES.items():
        value = an_id(lot, kind)
        yield kind, lot.choice(lines).format(id=value), (value,)


def measure_losses(
    example: Example, words: Vocabulary, ordinary: frozenset[str], lost: Counter[str], told: Told
) -> None:
    """Everyday words, and the words that the labels of issues, approaches and reasons rest on."""
    email = example.email
    texts = redact(
        (email.subject, email.new_text), words, names=[email.sender.name], year=email.sent_at.year
    ).texts
    text = ADDRESSES.sub(" ", fold(f"{email.subject}\n{email.new_text}").text)
    before, after = (Counter(re.findall(r"[^\W\d_]+", t)) for t in (text, "\n".join(texts)))
    names = {folded(n) for n in labelled_names(example)[0]} | {
        folded(p) for p in email.sender.name.split()
    }
    for word, count in before.items():
        if word.lower() in ordinary - NO_WORDS and folded(word) not in names and len(word) > 1:
            gone = max(0, count - after[word])
            told.count("everyday words", count, 0, "", "")
            lost[word] += gone
    out = " ".join(texts[1].split())
    text = " ".join(fold(email.new_text).text.split())
    kept = frozenset(re.findall(r"[^\W\d_]{2,}", " ".join(texts)))
    for request, quotes in zip(example.requests, example.quotes, strict=True):
        del request
        for name, codes in quotes.codes.items():
            for quote in codes.values():
                plain = fold(quote).text
                if " ".join(plain.split()) in text:
                    clinical = [
                        w for w in re.findall(r"[^\W\d_]{2,}", plain) if w.islower() or w.isupper()
                    ]
                    gone = sum(w not in kept for w in clinical if folded(w) not in names)
                    told.count(f"words behind {name}", len(clinical), gone, out, plain)


def ordinary_words(corpus: Corpus) -> frozenset[str]:
    """Words that at least four of the files write small."""
    files: defaultdict[str, set[str]] = defaultdict(set)
    for example in corpus.examples:
        for word in known_words([example.email.new_text], 1):
            files[word].add(example.file)
    return frozenset(word for word, where in files.items() if len(where) >= 4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="every so many messages")
    parser.add_argument("--seed", type=int, default=7, help="of what is planted")
    parser.add_argument("--lost", type=int, default=0, help="show everyday words lost")
    asked = parser.parse_args()
    corpus, told, kept, lost = load_corpus(), Told(), Told(), Counter[str]()
    ordinary, generators = ordinary_words(corpus), fakers(asked.seed)
    lot = random.Random(asked.seed)
    for file in corpus.files:
        words = vocabulary(without=file)
        for example in [e for e in corpus.examples if e.file == file][:: asked.every]:
            measure_labels(example, words, told)
            measure_planted(example, words, told, lot, generators)
            measure_losses(example, words, ordinary, lost, kept)
    report(told, kept, lost, asked.misses, asked.lost)
    return 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def report(told: Told, kept: Told, lost: Counter[str], misses: int, most: int) -> None:
    say("taken away")
    for kind, there in told.there.items():
        left = told.left[kind]
        say(f"  {kind:32} {there:7} there {left:5} left  recall {1 - left / there:.4f}")
    say("left")
    kept.left["everyday words"] = lost.total()
    for kind, there in kept.there.items():
        gone = kept.left[kind]
        say(f"  {kind:32} {there:7} there {gone:5} lost  {gone / there:.4%}")
    for kind in (*told.misses, *kept.misses) if misses else ():
        say(f"\n{kind}")
        found = told.misses[kind] or kept.misses[kind]
        for miss in random.Random(1).sample(found, min(misses, len(found))):
            say(f"  {miss}")
    if most:
        say(", ".join(f"{word} {count}" for word, count in lost.most_common(most)))


if __name__ == "__main__":
    sys.exit(main())
