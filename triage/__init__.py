"""The functional core: what a message asks, and what the platform's rules say to it.

Nothing in here reads a file, a clock, a socket or a database; what it needs comes in as a value.
"""
