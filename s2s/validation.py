"""What a single event may say, whatever came before it: refused here before the service ends the stream over it."""

from typing import Final

from s2s import failures
from s2s.errors import CodecError, LocalProtocolError
from s2s.events import AudioContentStart, InputEvent, PromptStart, SessionStart, TextInput, ToolResult
from s2s.limits import RATES_HERTZ, TOOL_NAME, TextProfile
from s2s.models import ModelCapabilities
from s2s.wire import Json, load_json

_JSON_BYTES: Final = 1024 * 1024
"""Longest schema or tool result that is looked at."""


def check_event(event: InputEvent, model: ModelCapabilities, profile: TextProfile) -> None:
    """Refuse an event that this model would refuse in any state.

    Raises:
        LocalProtocolError: with the service's own text where it has one.
    """
    match event:
        case SessionStart():
            _check_session(event, model)
        case PromptStart():
            _check_prompt(event, model)
        case AudioContentStart():
            _check_rate(event.input_hertz)
        case TextInput():
            if len(event.content.encode(errors="replace")) > profile.text_input_bytes:
                raise LocalProtocolError(f"one textInput has at most {profile.text_input_bytes} bytes; split the text")
        case ToolResult():
            if not isinstance(_json_of(event.content), dict):
                raise LocalProtocolError(f"{failures.TOOL_RESULT_UNREADABLE.text}: a result is the JSON text of an object")
        case _:
            pass


def _check_session(event: SessionStart, model: ModelCapabilities) -> None:
    inference = event.inference
    if inference.max_tokens < 1 or not (0 <= inference.top_p <= 1 and 0 <= inference.temperature <= 1):
        raise LocalProtocolError(f"{failures.REQUEST.text} maxTokens is at least 1, topP and temperature are between 0 and 1")
    if event.endpointing is not None and not model.turn_detection:
        raise LocalProtocolError(f"{failures.REQUEST.text} {model.model_id} has no turnDetectionConfiguration")


def _check_prompt(event: PromptStart, model: ModelCapabilities) -> None:
    _check_rate(event.output_hertz)
    if not model.may_have_voice(event.voice_id):
        raise LocalProtocolError(f"{failures.VOICE.text}: {model.model_id} has {', '.join(sorted(model.voices))}")
    names = [tool.name for tool in event.tools]
    for tool in event.tools:
        if TOOL_NAME.fullmatch(tool.name) is None:
            raise LocalProtocolError(f"tool name {tool.name!r} {failures.TOOL_NAME.text}")
        if not isinstance(_json_of(tool.input_schema), dict):
            raise LocalProtocolError(f"{failures.UNREADABLE.text}: the schema of {tool.name} is not the JSON text of an object")
    if len(set(names)) != len(names):
        raise LocalProtocolError(f"{failures.INVALID.text}: two tools of one name")
    if event.tool_choice is not None and event.tool_choice not in ("auto", "any", *names):
        raise LocalProtocolError(f"{failures.REQUEST.text} toolChoice names no tool of the prompt")


def _check_rate(hertz: int) -> None:
    if hertz not in RATES_HERTZ:
        raise LocalProtocolError(f"{failures.REQUEST.text} speech has {', '.join(map(str, RATES_HERTZ))} samples per second")


def _json_of(text: str) -> Json:
    try:
        return load_json(text, _JSON_BYTES)
    except CodecError:
        return None
