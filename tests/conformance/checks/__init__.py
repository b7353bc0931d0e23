"""The checks of the facts; a module registers its own when it is imported."""
