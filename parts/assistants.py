"""The assistants in their files."""

from config import ASSISTANTS
from parts.errors import StartFailed
from session.assistant import AssistantError, AssistantProfile, parse_assistant


def load_assistants() -> dict[str, AssistantProfile]:
    """Return every assistant by the name of its file.

    Raises:
        StartFailed: names the file that cannot be used.
    """
    assistants: dict[str, AssistantProfile] = {}
    for file in sorted(ASSISTANTS.glob("*.toml")):
        try:
            assistants[file.stem] = parse_assistant(file.read_text(encoding="utf-8"))
        except (AssistantError, UnicodeDecodeError) as error:
            raise StartFailed(f"assistants/{file.name} cannot be used: {error}") from error
    return assistants
