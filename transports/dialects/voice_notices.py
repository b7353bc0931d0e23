"""What a client of the voice dialect is told of what came about past its connection: uploaded recordings, and changes of its session.

Recordings are told of in the words of a conversation, with the name of the upload beside them; they have no turn, which is 0.
"""

import pybase64

from session.notices import Notice, RecordingAnswered, RecordingHeard, RecordingSpeech, RecordingSpeechEnded, SessionNoted


def notice_members(notice: Notice, session_id: str) -> tuple[str, dict[str, object]]:
    """Return the type and the data of the message that tells it.

    Args:
        notice: what came about.
        session_id: the name that the client knows the session by.
    """
    if isinstance(notice, SessionNoted):
        return "voice_session_updated", _noted(notice, session_id)
    told: dict[str, object] = {"sessionId": session_id, "turn": 0, "uploadId": notice.upload}
    match notice:
        case RecordingHeard(text=text, confidence=confidence):
            return "transcription", {**told, "content": text, "role": "USER", "isFinal": True, "confidence": confidence}
        case RecordingAnswered(upload=upload, text=text):
            return "ai_response", {**told, "content": text, "messageId": upload}
        case RecordingSpeech(pcm=pcm, hertz=hertz):
            return "audio_response", {**told, "audioData": pybase64.b64encode(pcm).decode(), "format": "pcm", "sampleRate": hertz}
        case RecordingSpeechEnded():
            return "audio_response_end", told


def _noted(noted: SessionNoted, session_id: str) -> dict[str, object]:
    maybe = {"audioFormat": noted.audio_format or None, "totalDuration": noted.seconds, "endReason": noted.reason or None}
    return {
        "sessionId": session_id,
        "serverSessionId": noted.session_id,
        "change": noted.change,
        "status": noted.status,
        "updatedAt": noted.updated_at,
        "messageCount": noted.messages,
        "metadata": dict(noted.metadata),
    } | {name: value for name, value in maybe.items() if value is not None}
