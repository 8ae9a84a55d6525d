"""Codes and times in words, as a support person would put them to a therapist."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from triage.deadlines import local_date, local_time, london

#: Codes whose words are not simply the code with spaces.
_WORDS: Final[dict[str, str]] = {
    "act": "ACT",
    "addiction_specialist": "addiction",
    "adhd": "ADHD",
    "autism": "autism",
    "body_image": "body image",
    "cat": "CAT",
    "cbt": "CBT",
    "cft": "compassion-focused therapy",
    "children_adolescents": "children and young people",
    "chronic_illness_pain": "chronic illness or pain",
    "couple_with_abuse_risk": "couples where abuse is a concern",
    "creative_arts": "creative arts therapy",
    "dbt": "DBT",
    "disability": "disability",
    "eating_disorder": "eating disorders",
    "eating_disorder_specialist": "eating disorders",
    "emdr": "EMDR",
    "erp": "ERP",
    "ethnic_minority": "clients from ethnic minorities",
    "evening_weekend": "evening or weekend times",
    "existential": "existential therapy",
    "faith": "faith",
    "female_therapist": "a female therapist",
    "fertility_loss": "fertility and baby loss",
    "gender_identity": "gender identity",
    "gestalt": "Gestalt",
    "high_risk": "high risk",
    "ifs": "IFS",
    "in_person": "meeting in person",
    "integrative": "integrative therapy",
    "language": "another language",
    "lgbtq": "LGBTQ+ clients",
    "long_term_work": "long-term work",
    "low_self_esteem": "low self-esteem",
    "male_therapist": "a male therapist",
    "mbct_mindfulness": "MBCT or mindfulness",
    "neurodivergent": "neurodivergent clients",
    "ocd": "OCD",
    "perinatal_specialist": "perinatal work",
    "person_centred": "person-centred therapy",
    "psychodynamic": "psychodynamic therapy",
    "ptsd": "PTSD",
    "racism_identity": "racism and identity",
    "relationship_couple": "relationship difficulties",
    "schema": "schema therapy",
    "self_harm": "self-harm",
    "separation_divorce": "separation or divorce",
    "sex_porn_addiction": "sex or pornography addiction",
    "short_term_work": "short-term work",
    "solution_focused": "solution-focused therapy",
    "somatic": "somatic therapy",
    "stress_burnout": "stress and burnout",
    "systemic_family": "systemic or family therapy",
    "trauma_ptsd": "trauma and PTSD",
    "trauma_specialist": "trauma",
    "veterans_first_responders": "veterans and first responders",
    "work_career": "work and career",
}
#: Not strftime: its names follow the locale that the process happens to run in.
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def in_words(code: str) -> str:
    return _WORDS.get(code) or code.replace("_", " ")


def listed(items: Iterable[str]) -> str:
    """Items as a sentence has them: a, b and c."""
    *most, last = tuple(items) or ("",)
    return f"{', '.join(most)} and {last}" if most else last


def day_in_words(day: date) -> str:
    """As in Thursday 6 November, whatever locale the process runs in."""
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}"


def moment_in_words(moment: datetime) -> str:
    """As in Thursday 6 November at 7pm, in London time."""
    local = moment.astimezone(london())
    minutes = f".{local.minute:02d}" if local.minute else ""
    half = "am" if local.hour < 12 else "pm"
    clock = "noon" if (local.hour, local.minute) == (12, 0) else None
    return f"{day_in_words(local.date())} at {clock or f'{local.hour % 12 or 12}{minutes}{half}'}"


def stated_time(session_time: str | None) -> str:
    """A request's ``session_time`` in words, or "" where none is stated."""
    if moment := local_time(session_time):
        return moment_in_words(moment)
    day = local_date(session_time)
    return day_in_words(day) if day else ""
