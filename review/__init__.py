"""People: what support staff and operations see."""
