"""The section of the settings about how long what is kept."""

from __future__ import annotations

from pydantic import Field

from settings.sections import Section


class RetentionSettings(Section):
    """Days after which `fit-triage purge` deletes what; what is left out is kept."""

    raw_days: int | None = Field(None, ge=1, description="Bytes as served, of read mail")
    # A mail may join a case for 180 days, and needs its words.
    closed_days: int | None = Field(None, ge=181, description="Words of closed cases")
    general_days: int | None = Field(None, ge=1, description="Mail that is no fit matter")
    quarantine_days: int | None = Field(None, ge=1, description="Mail that could not be read")
    bulks_days: int | None = Field(None, ge=1, description="Lists of what was done to many")
    runs_days: int | None = Field(None, ge=1, description="Runs as recorded")
