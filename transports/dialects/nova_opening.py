"""What a raw-event client says before the conversation: gathered here until it makes one Start.

Clients send sessionStart, promptStart, system text, history and the audio contentStart all at once, without waiting for any answer.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from s2s.events import PromptStart, Role, SessionStart
from session.errors import TooLarge
from session.events import HistoryTurn, Start

TEXT_LIMIT: Final = 262_144
"""Characters of system text and history together: a little more than AWS's own samples ever send as history."""
TURNS_LIMIT: Final = 400
"""Blocks of history; the session trims further, to what the service takes."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the client has said so far; each step returns a new one."""

    session: SessionStart
    prompt: PromptStart | None = None
    system: tuple[str, ...] = ()
    """System texts of this prompt."""
    inherited: str = ""
    """The system text of the prompt before, which counts when a client only changes the voice."""
    history: tuple[HistoryTurn, ...] = ()
    characters: int = field(default=0, kw_only=True)

    def with_prompt(self, prompt: PromptStart) -> "Opening":
        """Take a promptStart; a second one keeps what was said before unless it is said anew."""
        return Opening(self.session, prompt, inherited=self.prompt_text)

    def with_text(self, role: Role, text: str) -> "Opening":
        """Take a finished text block.

        Raises:
            TooLarge: all blocks together are more than any client needs.
        """
        characters = self.characters + len(text)
        if characters > TEXT_LIMIT or len(self.history) >= TURNS_LIMIT:
            raise TooLarge("The texts before the conversation are too long.")
        if role is Role.SYSTEM:
            return replace(self, system=(*self.system, text), characters=characters)
        if role in (Role.USER, Role.ASSISTANT):
            return replace(self, history=(*self.history, HistoryTurn(role, text)), characters=characters)
        return self

    @property
    def prompt_text(self) -> str:
        """The system text that counts."""
        return "\n".join(self.system) or self.inherited

    def start(self, input_hertz: int) -> Start:
        """Return the command that begins the session."""
        voice_id = self.prompt.voice_id if self.prompt else ""
        return Start(
            voice_id=voice_id or None,
            prompt=self.prompt_text or None,
            inference=self.session.inference,
            endpointing=self.session.endpointing,
            input_hertz=input_hertz,
            output_hertz=self.prompt.output_hertz if self.prompt else 24_000,
            history=self.history,
        )
