"""Which dialect a connection speaks."""

import pytest

from session.errors import BadFrame
from transports.dialects.detection import Clocks, by_first_frame, by_subprotocol, dialect_of_stranger
from transports.dialects.interface import Frame

CLOCKS = Clocks(lambda: 0, lambda: 0)


@pytest.mark.req("S2-45")
@pytest.mark.parametrize(
    ("frame", "name"),
    [
        ('{"event":{"sessionStart":{}}}', "nova_events"),
        ('{"body":"{\\"event\\":{\\"init\\":{}}}"}', "nova_events"),
        ('{"event":{},"type":"voice_start"}', "nova_events"),
        ('{"type":"voice_start"}', "voice"),
        ('{"type":"ping"}', "voice"),
        ('{"type":"connection_init"}', "voice"),
        ('{"action":"ping"}', "voice"),
        ('{"body":"{\\"type\\":\\"text_message\\"}"}', "voice"),
        ('{"type":5}', "voice"),
        ('{"type":[]}', "voice"),
        ('{"action":"initSession","patientId":"pt-001"}\n', "companion"),
        ('{"body":"{\\"action\\":\\"initSession\\"}"}', "companion"),
        ('{"type":"hello","protocol":1}', "nova-sonic.v1"),
        ('{"type":"resume","protocol":1}', "nova-sonic.v1"),
        (b"\1", "nova-sonic.v1"),
        (b"", "nova-sonic.v1"),
    ],
)
def test_the_first_frame_tells(frame: Frame, name: str) -> None:
    assert by_first_frame(frame, CLOCKS).name == name
    assert dialect_of_stranger(frame, CLOCKS).name == name


@pytest.mark.parametrize("frame", ["", "nonsense", "[]", "7", '{"hello":1}', '{"body":7}', '{"body":"[]"}'])
def test_a_frame_of_no_dialect_is_refused_in_the_shape_that_no_client_stumbles_over(frame: str) -> None:
    with pytest.raises(BadFrame):
        by_first_frame(frame, CLOCKS)

    assert dialect_of_stranger(frame, CLOCKS).name == "nova_events"


def test_a_subprotocol_counts_before_any_frame() -> None:
    dialect = by_subprotocol("nova-sonic.v1", CLOCKS)

    assert dialect is not None
    assert dialect.name == "nova-sonic.v1"
    assert by_subprotocol("chat", CLOCKS) is None
    assert by_subprotocol(None, CLOCKS) is None
