"""How bytes reach a session."""
