"""The review page: where support staff live."""
