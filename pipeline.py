"""Fetch new mail, understand it, decide by the platform's rules, and queue it for people."""


def main() -> None:
    """The command line `fit-triage`."""
