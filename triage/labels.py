"""The codes that the guideline defines, and nothing else.

One place for every vocabulary: detectors yield these codes, the policy decides on them, corpora
and staff corrections are checked against them. Their meaning, label by label, is in
``models/corpus/GUIDELINES.md``; ``labels.json`` beside it is checked against this module by a test.
"""

from typing import Final, Literal, get_args

Kind = Literal[
    "cancellation", "referral", "note_reason", "enquiry", "update", "withdrawal", "other"
]
Notification = Literal["discussed", "informed", "planned", "not_informed", "asks_team", "unknown"]
Stage = Literal["initial", "ongoing", "unknown"]
Agreement = Literal["agrees", "declines", "unknown"]
Risk = Literal["none", "concern", "urgent"]
Role = Literal["therapist", "client", "other", "automated"]

Queue = Literal["cancellation", "referral", "enquiry", "general", "quarantine"]
State = Literal[
    "ready",
    "awaiting_client",
    "awaiting_details",
    "check",
    "noted",
    "done",
    "withdrawn",
    "dismissed",
]
Blocker = Literal[
    "urgent_risk",
    "client_not_told",
    "reasons_not_discussed",
    "client_disagrees",
    "reason_missing",
    "issues_missing",
    "needs_missing",
    "sender_unverified",
    "not_session_owner",
    "session_unknown",
    "session_ambiguous",
    "session_past",
    "low_confidence",
    "contradiction",
]

QUEUES: Final[tuple[str, ...]] = get_args(Queue)
STATES: Final[tuple[str, ...]] = get_args(State)
BLOCKERS: Final[tuple[str, ...]] = get_args(Blocker)

KINDS: Final[tuple[str, ...]] = get_args(Kind)
NOTIFICATIONS: Final[tuple[str, ...]] = get_args(Notification)
STAGES: Final[tuple[str, ...]] = get_args(Stage)
AGREEMENTS: Final[tuple[str, ...]] = get_args(Agreement)
RISKS: Final[tuple[str, ...]] = get_args(Risk)
ROLES: Final[tuple[str, ...]] = get_args(Role)

#: The kinds that concern fit; ``other`` alone does not, ``withdrawal`` takes one back.
FIT_KINDS: Final = frozenset(KINDS) - {"other"}

FIT_REASONS: Final[tuple[str, ...]] = (
    "outside_competence",
    "approach_mismatch",
    "risk_or_severity",
    "client_group",
    "conflict_of_interest",
    "personal_impact",
    "availability",
    "format",
    "language_culture",
    "client_preference",
    "service_not_offered",
    "no_progress",
    "relationship_rupture",
    "concurrent_therapy",
    "unspecified",
)

PRESENTING_ISSUES: Final[tuple[str, ...]] = (
    "anxiety",
    "panic",
    "ocd",
    "phobia",
    "health_anxiety",
    "social_anxiety",
    "depression",
    "low_self_esteem",
    "stress_burnout",
    "trauma_ptsd",
    "childhood_abuse",
    "sexual_assault",
    "domestic_abuse",
    "bereavement",
    "eating_disorder",
    "body_image",
    "substance_misuse",
    "gambling",
    "sex_porn_addiction",
    "self_harm",
    "suicidality",
    "psychosis",
    "bipolar",
    "personality_disorder",
    "dissociation",
    "adhd",
    "autism",
    "anger",
    "relationship_couple",
    "separation_divorce",
    "family_conflict",
    "parenting",
    "perinatal",
    "fertility_loss",
    "sexual_problems",
    "gender_identity",
    "sexuality",
    "sleep",
    "chronic_illness_pain",
    "work_career",
    "racism_identity",
    "loneliness",
    "life_transition",
)

REQUIRED_APPROACHES: Final[tuple[str, ...]] = (
    "cbt",
    "dbt",
    "emdr",
    "act",
    "cft",
    "erp",
    "mbct_mindfulness",
    "psychodynamic",
    "person_centred",
    "integrative",
    "gestalt",
    "existential",
    "transactional_analysis",
    "schema",
    "cat",
    "ifs",
    "somatic",
    "systemic_family",
    "couples_therapy",
    "psychosexual",
    "creative_arts",
    "solution_focused",
    "coaching",
    "hypnotherapy",
    "group_therapy",
    "psychiatry",
    "psychological_assessment",
)

REQUIRED_EXPERIENCE: Final[tuple[str, ...]] = (
    "children_adolescents",
    "couples",
    "families",
    "older_adults",
    "lgbtq",
    "neurodivergent",
    "ethnic_minority",
    "faith",
    "language",
    "female_therapist",
    "male_therapist",
    "in_person",
    "evening_weekend",
    "long_term_work",
    "short_term_work",
    "high_risk",
    "veterans_first_responders",
    "disability",
    "perinatal_specialist",
    "addiction_specialist",
    "trauma_specialist",
    "eating_disorder_specialist",
    "couple_with_abuse_risk",
)

#: Set-valued fields of a request, by field name.
CODE_SETS: Final[dict[str, tuple[str, ...]]] = {
    "fit_reasons": FIT_REASONS,
    "presenting_issues": PRESENTING_ISSUES,
    "required_approaches": REQUIRED_APPROACHES,
    "required_experience": REQUIRED_EXPERIENCE,
}

#: Single-valued fields of a request, by field name.
CODES: Final[dict[str, tuple[str, ...]]] = {
    "kind": KINDS,
    "client_notification": NOTIFICATIONS,
    "session_stage": STAGES,
    "client_agreement": AGREEMENTS,
    "risk": RISKS,
}
