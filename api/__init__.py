"""Plain HTTP beside the conversations."""
