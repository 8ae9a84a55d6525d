"""A real dovecot for tests."""
