"""The conversation: knows no AWS, no socket and no database."""
