"""One frozen Settings, read once from a TOML file and the environment.

The environment wins over the file. Passwords come from a file or the environment, never from
arguments, and are never shown. An unknown name is an error that lists the known ones, because a
misspelt setting that is silently ignored is found only when it hurts.
"""

from settings.configuration import Settings, Start
from settings.reading import read_settings
from settings.sections import (
    CertaintySettings,
    LivechatSettings,
    MailSettings,
    OAuthSettings,
    OfficeSettings,
    OutboxSettings,
    SettingsError,
    SignInSettings,
    SourceSettings,
    WatchSettings,
)

__all__ = [
    "CertaintySettings",
    "LivechatSettings",
    "MailSettings",
    "OAuthSettings",
    "OfficeSettings",
    "OutboxSettings",
    "Settings",
    "SettingsError",
    "SignInSettings",
    "SourceSettings",
    "Start",
    "WatchSettings",
    "read_settings",
]
