"""Mail in: sources, parsing, new text apart from quoted, and who really sent it."""
