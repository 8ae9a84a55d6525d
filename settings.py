"""One frozen Settings, read once from a TOML file and the environment."""
