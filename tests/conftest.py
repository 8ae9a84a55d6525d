pytest_plugins = ["services.dovecot", "services.postgres"]
