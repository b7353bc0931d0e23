"""Listening and speaking: grammar, recogniser, dictionary and voices of the demo brain."""
