"""What raw-event clients in the field send, written down event by event."""

import base64
import json

type Body = dict[str, object]


def event(name: str, **body: object) -> str:
    return json.dumps({"event": {name: body}})


def session_start(sensitivity: str | None = None) -> str:
    body: Body = {"inferenceConfiguration": {"maxTokens": 1024, "topP": 0.95, "temperature": 0.7}}
    if sensitivity:
        body["turnDetectionConfiguration"] = {"endpointingSensitivity": sensitivity}
    return event("sessionStart", **body)


def prompt_start(prompt: str = "P", voice: str = "carlos", hertz: int = 24_000) -> str:
    schema = json.dumps({"type": "object", "properties": {"dni": {"anyOf": [{"type": "string"}, {"type": "number"}]}}})
    return event(
        "promptStart",
        promptName=prompt,
        textOutputConfiguration={"mediaType": "text/plain"},
        audioOutputConfiguration={
            "mediaType": "audio/lpcm",
            "sampleRateHertz": hertz,
            "sampleSizeBits": 16,
            "channelCount": 1,
            "voiceId": voice,
            "encoding": "base64",
            "audioType": "SPEECH",
        },
        toolUseOutputConfiguration={"mediaType": "application/json"},
        toolConfiguration={"tools": [{"toolSpec": {"name": "mine", "description": "d", "inputSchema": {"json": schema}}}]},
    )


def text_block(content: str, role: str, text: str, *, interactive: bool = True, prompt: str = "P") -> list[str]:
    names = {"promptName": prompt, "contentName": content}
    start = {"type": "TEXT", "interactive": interactive, "role": role, "textInputConfiguration": {"mediaType": "text/plain"}}
    return [
        event("contentStart", **names, **start),
        event("textInput", **names, content=text),
        event("contentEnd", **names),
    ]


def audio_start(content: str = "A", prompt: str = "P", hertz: int = 16_000) -> str:
    return event(
        "contentStart",
        promptName=prompt,
        contentName=content,
        type="AUDIO",
        interactive=True,
        role="USER",
        audioInputConfiguration={
            "mediaType": "audio/lpcm",
            "sampleRateHertz": hertz,
            "sampleSizeBits": 16,
            "channelCount": 1,
            "audioType": "SPEECH",
            "encoding": "base64",
        },
    )


def audio(pcm: bytes, content: str = "A", prompt: str = "P") -> str:
    return event("audioInput", promptName=prompt, contentName=content, content=base64.b64encode(pcm).decode())


def opening(voice: str = "carlos") -> list[str]:
    return [session_start(), prompt_start(voice=voice), *text_block("S", "SYSTEM", "You are mine."), audio_start()]


def goodbye() -> list[str]:
    return [
        event("contentEnd", promptName="P", contentName="A"),
        event("promptEnd", promptName="P"),
        event("sessionEnd"),
    ]
