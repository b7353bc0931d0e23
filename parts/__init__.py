"""The parts of the application, opened as the settings ask: each is closed with the stack that it was opened into."""
