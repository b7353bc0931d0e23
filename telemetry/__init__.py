"""Logs, counters and the watch on the event loop."""
