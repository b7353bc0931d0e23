"""Listeners to session events; they cannot change what happens."""
