"""What an assistant keeps of its conversations."""

import pytest

from s2s.events import Role
from s2s.models import capabilities
from session.assistant import AssistantError, parse_assistant, plan_session
from session.events import HistoryTurn, Start
from session.keeping import Keeping
from tests.session.doubles import MODEL_ID, PROFILE

ASSISTANT = """
name = "clara"
default_language = "en"
{}
[languages.en]
voice = "tiffany"
prompt = "You are Clara."
"""
EARLIER = (HistoryTurn(Role.USER, "I am Ana."), HistoryTurn(Role.ASSISTANT, "Hello Ana."))


@pytest.mark.req("S1-28")
def test_conversations_are_recorded_and_not_remembered_unless_the_file_says_so() -> None:
    said = "[records]\nconversations = false"

    assert parse_assistant(ASSISTANT.format("")).keeping == Keeping(is_conversation_recorded=True, memory_turns=0)
    assert parse_assistant(ASSISTANT.format(said)).keeping == Keeping(is_conversation_recorded=False)
    assert parse_assistant(ASSISTANT.format("[memory]\nturns = 12")).keeping == Keeping(memory_turns=12)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("records = true", "records: a table"),
        ("[records]\nconversations = 1", "records.conversations: true or false"),
        ("[memory]\nturns = 41", "memory.turns: a whole number from 0 to 40"),
        ("[memory]\nturns = -1", "memory.turns"),
        ("[memory]\nturns = true", "memory.turns"),
        ("[memory]\nturns = 2.5", "memory.turns"),
        ("[records]\nconversations = false\n[memory]\nturns = 1", "no memory"),
    ],
)
def test_what_cannot_be_kept_so_is_refused_with_the_reason(said: str, complaint: str) -> None:
    with pytest.raises(AssistantError, match=complaint):
        parse_assistant(ASSISTANT.format(said))


@pytest.mark.req("S0-66")
def test_the_model_is_told_what_the_server_remembers_whatever_the_client_may_set() -> None:
    start = Start(memory=EARLIER, history=(HistoryTurn(Role.USER, "I am the king."),))
    planned = plan_session(PROFILE, start, capabilities(MODEL_ID))

    assert "history" not in PROFILE.client_may_set
    assert planned.history == EARLIER


def test_sound_is_recorded_where_the_file_says_so_alone() -> None:
    assert not parse_assistant(ASSISTANT.format("")).keeping.is_audio_recorded
    assert parse_assistant(ASSISTANT.format("[records]\naudio = true")).keeping.is_audio_recorded
    with pytest.raises(AssistantError, match=r"records\.audio"):
        parse_assistant(ASSISTANT.format("[records]\naudio = 1"))
