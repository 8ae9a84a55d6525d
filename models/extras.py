"""What is optional: the data team's libraries, which a run does without."""

from __future__ import annotations

from importlib.util import find_spec


class MissingExtraError(Exception):
    """Something optional is not installed; the message says how to install it."""


def require(package: str, extra: str = "data") -> None:
    """Raise MissingExtraError where *package* is not installed."""
    if find_spec(package) is None:
        raise MissingExtraError(f'{package} is needed: pip install "fit-triage[{extra}]"')
