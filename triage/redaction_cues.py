"""What stands round a name, and what looks like one and is none: patterns and words."""

from __future__ import annotations

import re
from typing import Final

TITLE: Final = re.compile(
    r"\b(?:mr|mrs|ms|miss|mx|dr|prof|professor|rev|reverend|sir|dame|lord|fr|father|sister|sgt"
    r"|captain|major|auntie|uncle|aunt|nurse|pastor|imam|rabbi)\b\.?[ \n]$",
    re.IGNORECASE,
)
#: What leads to a name even where it is written small.
LEADS: Final = re.compile(
    r"(?:\b(?:client|clients|called|named|name is|name's|names are|name:|client:|initials?|patient)"
    r"|(?:^|\n)\W{0,3}(?:hi|hiya|hello|hey|dear|morning|afternoon|evening|cheers|thanks|regards"
    r"|wishes|many thanks|best|love|from),?)[ \n]$",
    re.IGNORECASE,
)
#: What leads to one in a message without a single capital.
LEADS_SMALL: Final = re.compile(
    r"\b(?:with|for|about|from|cancel|see|seeing|saw|told|tell|and|re|met|meet|refer|is|with my|ask"
    r"|asked|rang|ring|messaged|emailed|texted|phoned|spoke to|met with|supervisor|partner|wife"
    r"|husband|son|daughter|mum|dad|friend|colleague|therapist|therapists) $"
)
LEADS_MID: Final = re.compile(
    r"\b(?:with|tell|told|saw|seeing|cancel|copy in|rang|met|meet|messaged|emailed|texted|asked"
    r"|client|from|about|and|for) $"
)
FOLLOWS: Final = re.compile(
    r"'s\b| (?:is|was|has|had|wants?|wanted|told|said|says|came|comes|booked|asked|asks|feels?|felt"
    r"|needs?|agreed|agrees|knows?|and i\b|and I\b|does|did|would|rang|replied|wrote|sees?|thinks?"
    r"|mentioned|described|disclosed|started|turned|lives?|goes|got|doesn't|didn't|won't|isn't)\b"
)
ENDS: Final = re.compile(r"(?:^|[\n.!?:;>\"(*•\[]|\n\W*|\s[-–] ?|\d[.)] )\s*\W*$")
INITIALS: Final = re.compile(
    r"(?<![\w.&'/-])(?:(?:[A-Z]\. ?){2,3}(?:[A-Z]\b)?|[A-HJ-Z]\.(?=[ ,:;)\n]|'s|$)"
    r"|[B-HJ-Z](?![\w&'/.-])|[B-HJ-Z](?='s\b)|A(?='s\b)|A(?= and I\b))"
)
SAID_INITIALS: Final = re.compile(
    r"\binitials?:? (?:are |is |being )?((?:[A-Za-z]\b[. ]{0,2}){1,3})(?![\w'])", re.IGNORECASE
)
#: After these a letter stands for no person: "Plan B", "vitamin D", "cluster C".
LETTERED: Final = re.compile(
    r"\b(?:plan|vitamin|type|option|class|block|group|part|hep|hepatitis|cluster|band|grade|point"
    r"|section|appendix|item|room|zone|level|stage|team|question|step|exhibit|the|q|session|form|u|a"
    r"|and|or|to|generation|gen|radio|an?|dear|vs?|not) $",
    re.IGNORECASE,
)
PARTICLES: Final = frozenset(
    """
    de da di del della van von der den bin bint ibn al el ap ab ferch mac nic ni le la du dos das
    ter ten o abu st
    """.split()  # noqa: SIM905 - a list of words is read as one
)
#: Doubtful names that open sentences as words; others at the head of one are names.
OPENING: Final = frozenset(
    """
    will may hope love happy true mark march august april june young win bill page joy chance star
    christmas tuesday good art bell cat rob sue grant reed queen noble rain sunny rocky rusty
    misty summer autumn job spike stone sky river forest storm liberty harmony earnest merry
    christian patience tan tally temple cash chase skip gale heath
    """.split()  # noqa: SIM905 - a list of words is read as one
)
#: After these even an everyday word is a name.
CALLED: Final = re.compile(
    r"\b(?:called|named|name is|name's|known as|client:? \"|client:? ') ?[\"']?$", re.IGNORECASE
)
#: With full stops these are abbreviations, all others initials.
DOTTED: Final = frozenset(
    ("am", "pm", "eg", "ie", "nb", "ps", "uk", "us", "usa", "eu", "gp", "dob", "aka", "nhs", "cbt")
)
DAYS: Final = frozenset(
    """
    monday tuesday wednesday thursday friday saturday sunday mon tue tues wed weds thu thur thurs
    fri sat sun january february march april may june july august september october november
    december jan feb mar apr jun jul aug sep sept oct nov dec christmas easter session sessions
    initial english british zoom
    """.split()  # noqa: SIM905 - a list of words is read as one
)
SURNAME: Final = re.compile(r" ([A-ZÀ-Þ][a-zà-ÿ][\w'-]+)\b")
ALONE: Final = re.compile(r"[.,!]?\s*(?:\n|$)")
AFTER: Final = re.compile(r" ([A-ZÀ-Þ][A-ZÀ-Þ'-]+)\b")
BEFORE: Final = re.compile(r"\b([A-ZÀ-Þ][A-ZÀ-Þ'-]+) $")
SOMEWHERE: Final = re.compile(r"\b(?:in|near|around|outside) $")
LATIN: Final = 0x24F  # the last letter of Latin with its marks
ACRONYM: Final = 5  # letters; longer words in capitals are no abbreviations
NO_NAME: Final = ("n't", "'ve", "'ll", "'d", "'re", "'m")


NOT_TITLED: Final = frozenset(
    """
    and or is was has appointment who said says told at in to
    """.split()  # noqa: SIM905 - a list of words is read as one
)
#: Where an item of a list begins, with its number or bullet.
LISTED: Final = re.compile(r"(?:^|\n)\W*(?:\d{1,2}\W{1,3})?$")
#: How somebody's item goes on: "poppy: not told", "Grant - four weeks", "rob (1st)", "jack 1st".
ITEM: Final = re.compile(r"[:,.]? ?\(|[:,.](?: |$)| ?[-–] | 1st\b| and [A-Z]")
#: The same where it need not be one: "today 4pm rob (1st)".
BOOKED: Final = re.compile(r" ?\((?:1st|first|new|HT|\d)| (?:1st|HT)\b")
