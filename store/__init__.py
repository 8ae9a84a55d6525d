"""Memory: the schema, one deep Store, and the migrations."""
