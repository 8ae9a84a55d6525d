import os

from hypothesis import settings

pytest_plugins = [
    "services.browser",
    "services.dovecot",
    "services.openid_provider",
    "services.postgres",
    "services.staffed_page",
]

# A busy machine is no failure; and CI must fail for the change at hand, not for an example that
# chance finds on that day: those are searched for on developers' machines.
settings.register_profile("ours", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "ours")
