"""Who speaks and what is heard, by the names that Nova Sonic's voices have: an assistant's file is the same for both models.

Sources: Amazon Polly developer guide, "Available voices" (neural engine); Amazon Transcribe developer guide, "Supported languages"
(streaming).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Casting:
    """Who speaks for a voice."""

    polly: str
    """Voice of Polly that the neural engine has."""
    language: str
    """Code of the language, the same at Polly and at Transcribe."""


CASTINGS: Final[Mapping[str, Casting]] = {
    "matthew": Casting("Matthew", "en-US"),
    "tiffany": Casting("Joanna", "en-US"),
    "amy": Casting("Amy", "en-GB"),
    "olivia": Casting("Olivia", "en-AU"),
    "kiara": Casting("Kajal", "en-IN"),
    "lupe": Casting("Lupe", "es-US"),
    "carlos": Casting("Pedro", "es-US"),
    "ambre": Casting("Lea", "fr-FR"),
    "florian": Casting("Remi", "fr-FR"),
    "greta": Casting("Vicki", "de-DE"),
    "tina": Casting("Vicki", "de-DE"),
    "lennart": Casting("Daniel", "de-DE"),
    "beatrice": Casting("Bianca", "it-IT"),
    "lorenzo": Casting("Adriano", "it-IT"),
    "carolina": Casting("Camila", "pt-BR"),
    "leo": Casting("Thiago", "pt-BR"),
}
"""By voice id. Nova's arjun has no man's voice of Indian English beside it, and is not there."""
