"""Which voices of Amazon Polly can be imitated, and by which of the emulator's own.

Languages and genders: Amazon Polly developer guide, "Available voices". Only languages that the emulator's synthesiser has are here.
"""

from collections.abc import Mapping
from typing import Final

_STAND_INS: Final = {
    # Female and male voices: names of Polly, and the Nova Sonic voice that they sound like here.
    "tiffany": "Danielle Ivy Joanna Kendra Kimberly Ruth Salli Tiffany",
    "matthew": "Gregory Joey Justin Kevin Matthew Stephen Patrick",
    "amy": "Amy Emma Nicole Olivia Niamh Aria Ayanda",
    "arjun": "Arthur Brian Russell Geraint Arjun",
    "kiara": "Aditi Kajal Raveena Kiara Jasmine",
    "lupe": "Lupe Penelope Mia Lucia Conchita",
    "carlos": "Miguel Pedro Andres Sergio Enrique Raul Carlos",
    "ambre": "Celine Lea Chantal Gabrielle Isabelle Ambre",
    "florian": "Mathieu Remi Liam Florian",
    "beatrice": "Bianca Carla Beatrice",
    "lorenzo": "Adriano Giorgio Lorenzo",
    "tina": "Marlene Vicki Hannah Sabrina Tina",
    "lennart": "Daniel Hans Lennart",
    "carolina": "Camila Vitoria Ines Carolina",
    "leo": "Ricardo Thiago Cristiano Leo",
}

STAND_INS: Final[Mapping[str, str]] = {name: ours for ours, names in _STAND_INS.items() for name in names.split()}
"""Voice of Polly -> voice id of Nova Sonic."""
