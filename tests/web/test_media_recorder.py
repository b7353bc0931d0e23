"""What Chromium's own MediaRecorder hands over, decoded as it comes."""

import base64

import numpy as np
import pytest

from audio.ffmpeg import OpusRecording
from audio.recordings import HERTZ
from tests.browser import Chromium, PageOptions

RECORD = """async () => {
  const context = new AudioContext();
  await context.resume();
  const tone = new OscillatorNode(context, { frequency: 440 });
  const microphone = context.createMediaStreamDestination();
  tone.connect(microphone);
  tone.start();
  const recorder = new MediaRecorder(microphone.stream, { mimeType: "audio/webm;codecs=opus" });
  const pieces = [];
  recorder.ondataavailable = (event) => { if (event.data.size > 0) pieces.push(event.data); };
  const stopped = new Promise((done) => { recorder.onstop = done; });
  recorder.start(100);
  await new Promise((done) => setTimeout(done, 2500));
  recorder.stop();
  await stopped;
  await context.close();
  return Promise.all(pieces.map(async (piece) => {
    const bytes = new Uint8Array(await piece.arrayBuffer());
    return btoa(String.fromCharCode(...bytes));
  }));
}"""
ALLOWED_TO_PLAY = PageOptions(arguments=("--autoplay-policy=no-user-gesture-required",))


@pytest.mark.browser
@pytest.mark.req("S0-18", "S2-10")
async def test_the_recording_of_a_browser_is_heard_piece_by_piece(chromium: Chromium) -> None:
    async with chromium.open("data:text/html,<title>recorder</title>", ALLOWED_TO_PLAY) as page:
        pieces = [base64.b64decode(piece) for piece in await page.evaluate(RECORD)]
    recording = OpusRecording()
    heard = [b"".join(recording.decode(piece)) for piece in pieces]
    pcm = np.frombuffer(b"".join(heard), "<i2")

    assert len(pieces) > 5
    assert all(heard[1:-1])  # nothing waits for a later piece
    assert pcm.size / HERTZ == pytest.approx(2.5, abs=0.5)
    assert np.abs(np.fft.rfft(pcm[HERTZ // 2 : HERTZ // 2 + HERTZ].astype(np.float64))).argmax() == 440
