"""When faults come: by count, name and time, planned or injected, from a script or by chance."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from nova_sonic_local.clock import LoopClock
from nova_sonic_local.emission import Emitter
from nova_sonic_local.ending import Cut
from nova_sonic_local.exchange import Exchange
from nova_sonic_local.faults import FAULTS, Fault, FaultPlan, Unit, parse_faults
from nova_sonic_local.ids import Ids
from nova_sonic_local.manner import Finals, Manner
from nova_sonic_local.mishaps import Mishaps, Withheld
from nova_sonic_local.options import Options
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.schedule import RANDOM_INPUTS, RANDOM_OUTPUTS, Schedule
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.stage import VirtualClock
from tests.emulator.wire import RawClient, audio_input, opening, silence, spoken_turn, tool


def faults(plans: list[FaultPlan]) -> list[str]:
    return [plan.fault.value for plan in plans]


def schedule(text: str, seed: str = "seed") -> Schedule:
    made = Schedule(100.0, 0.1, seed)
    made.plan(parse_faults(text))
    return made


def test_every_fault_has_a_row_that_can_be_asked_for_by_name_alone() -> None:
    plans = parse_faults(",".join(fault.value for fault in Fault))

    assert FAULTS.keys() == set(Fault)
    assert [plan.fault for plan in plans] == list(Fault)
    assert [plan.word for plan in plans] == [FAULTS[fault].default for fault in Fault]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unknown", "no fault is called 'unknown'"),
        ("rst,", "no fault is called ''"),
        ("rst:MAYBE", "HTTP/2 has no error code 'MAYBE'"),
        ("goaway:later", "HTTP/2 has no error code 'later'"),
        ("tcp_drop:now", "tcp_drop cannot have the argument 'now'"),
        ("exception:noSuchMember", "'noSuchMember' is not a valid Member"),
        ("late_head:soon", "could not convert"),
        ("late_head:-1", "late_head: '-1' is no seconds"),
        ("slow_output:0", "slow_output: '0' is no factor"),
        ("huge_event:9000", "huge_event: '9000' is no kilobytes"),
        ("random:2", "random: '2' is no probability"),
        ("unknown_event:both", "unknown_event: 'both' is no"),
        ("error_message:a b", "error_message: 'a b' is no"),
        ("rst@", "'' is no moment"),
        ("rst@soon", "no event is called 'soon'"),
        ("rst@1.5", "events are counted in whole numbers"),
        ("rst@-1", "'-1' is no moment"),
    ],
)
def test_a_wrong_fault_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_faults(text)


_PARTS = st.sampled_from(
    [*(fault.value for fault in Fault), ":", "@", ",", "s", "out", "toolUse", "1", "-", ".5", "inf", "nan", "drain", "9" * 400]
)


@given(st.lists(_PARTS | st.text(max_size=3), max_size=8).map("".join))
def test_any_text_is_faults_or_a_value_error(text: str) -> None:
    try:
        plans = parse_faults(text)
    except ValueError:
        return
    made = Schedule(0.0, 1.0, "seed")
    made.plan(plans)

    assert len(made.take_input("") + made.take_input("audioInput") + made.take_due(1e9)) <= len(plans)


def test_faults_come_after_the_event_they_wait_for() -> None:
    made = schedule("rst@0, stall@2, goaway@2out, tcp_drop@toolUse, garbage@2audioInput")

    assert faults(made.take_input("")) == ["rst"]
    assert faults(made.take_output("completionStart")) == []
    assert faults(made.take_input("audioInput")) == []
    assert faults(made.take_output("toolUse")) == ["goaway", "tcp_drop"]
    assert faults(made.take_input("audioInput")) == ["stall", "garbage"]
    assert not made.is_counting


def test_a_time_counts_from_the_begin_of_the_stream_in_scaled_seconds() -> None:
    made = schedule("rst@5s,stall@2.5s")

    assert made.next_time() == pytest.approx(100.25)
    assert faults(made.take_due(100.2)) == []
    assert faults(made.take_due(100.3)) == ["stall"]
    assert made.next_time() == pytest.approx(100.5)
    assert faults(made.take_due(100.5)) == ["rst"]
    assert made.next_time() is None


def test_an_injected_moment_counts_from_now() -> None:
    made = schedule("tcp_drop@100")
    for _ in range(9):
        made.take_input("audioInput")
    at_once = made.inject(parse_faults("stall,rst@2,goaway@1s,garbage@0"), 200.0)

    assert faults(at_once) == ["stall", "garbage"]
    assert made.next_time() == pytest.approx(200.1)
    assert faults(made.take_input("audioInput")) == []
    assert faults(made.take_input("audioInput")) == ["rst"]


def drawn(seed: str, probability: str = "1") -> tuple[str, str, float] | None:
    """Return which fault a stream with this seed draws, and when."""
    made = schedule(f"random:{probability}", seed)
    for number in range(RANDOM_INPUTS + 1):
        for due, unit in ((made.take_input("audioInput" if number else ""), Unit.INPUT), (made.take_output("usageEvent"), Unit.OUTPUT)):
            if due:
                return due[0].fault.value, unit.value, number
    return None


def test_a_random_fault_ends_the_stream_and_is_the_same_for_the_same_seed() -> None:
    seeds = [str(number) for number in range(200)]
    first, second = [drawn(seed) for seed in seeds], [drawn(seed) for seed in seeds]
    names = Counter(name for found in first if found is not None for name in found[:1])

    assert first == second
    assert None not in first
    assert names.keys() == {fault.value for fault, row in FAULTS.items() if row.is_fatal}
    assert {unit for found in first if found is not None for unit in found[1:2]} == {"input", "output"}
    assert max(found[2] for found in first if found is not None and found[1] == "output") <= RANDOM_OUTPUTS


def test_a_random_fault_comes_as_often_as_asked_for() -> None:
    count = sum(drawn(str(seed), "0.25") is not None for seed in range(400))

    assert 70 <= count <= 130
    assert not any(drawn(str(seed), "0") for seed in range(50))


def test_a_random_fault_can_have_its_moment() -> None:
    made = schedule("random@toolUse")

    assert [made.take_output(name) == [] for name in ("audioOutput", "toolUse")] == [True, False]


@dataclass
class Wire:
    """A connection that writes down what it was asked for."""

    asked: list[str] = field(default_factory=list)

    def schedule(self, exchange: Exchange | None = None) -> None:
        self.asked.append("schedule")

    def send_headers(self, exchange: Exchange, headers: list[tuple[str, str]]) -> None:
        self.asked.append(f"head {headers[0][1]}")

    def acknowledge(self, exchange: Exchange, size: int) -> None:
        self.asked.append("acknowledge")

    def reset(self, exchange: Exchange, code: ErrorCodes) -> None:
        self.asked.append("reset")

    def go_away(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        self.asked.append("go_away")

    def drain(self) -> None:
        self.asked.append("drain")

    def freeze(self) -> None:
        self.asked.append("freeze")

    def abort(self) -> None:
        self.asked.append("abort")


def mishaps(clock: VirtualClock | None = None) -> tuple[Mishaps, Exchange, Wire]:
    wire = Wire()
    exchange = Exchange(wire, 1, {})
    return Mishaps(exchange, clock or LoopClock(), 1.0, "seed", Manner()), exchange, wire


async def test_what_is_injected_without_a_moment_happens_now() -> None:
    found, _, wire = mishaps()
    found.inject("goaway:drain,half_open")
    found.inject("rst:CANCEL")

    with pytest.raises(Cut) as cut:
        found.check()
    assert (cut.value.fault, cut.value.plan.code) == (Fault.RST, ErrorCodes.CANCEL)
    assert wire.asked == ["drain", "freeze"]
    assert found.withheld is Withheld.EVERYTHING


async def test_only_the_first_end_counts() -> None:
    found, _, _ = mishaps()
    found.inject("exception:idle_55")
    found.inject("rst")

    with pytest.raises(Refused) as refused:
        await found.fate()
    assert refused.value.refusal is Refusal.IDLE_55


async def test_a_wrong_injection_does_nothing() -> None:
    found, _, wire = mishaps()
    with pytest.raises(ValueError, match="no fault is called"):
        found.inject("goaway:drain,nonsense")

    assert wire.asked == []
    found.check()


async def test_a_way_to_behave_can_begin_at_any_time() -> None:
    clock = VirtualClock()
    found, _, _ = mishaps(clock)
    emitter = Emitter(lambda _data: None, Ids(0, 1), "P")
    found.use(emitter)
    found.inject("no_final,slow_output:0.5@2s")
    before = emitter.manner
    await clock.advance(2)

    assert (before.finals, before.speech_speed) == (Finals.NEVER, 8.0)
    assert (emitter.manner.finals, emitter.manner.speech_speed) == (Finals.NEVER, 0.5)


async def test_nothing_comes_after_the_end() -> None:
    clock = VirtualClock()
    found, _, wire = mishaps(clock)
    found.inject("half_open@1s")
    found.close()
    await clock.advance(2)
    found.inject("rst")

    assert wire.asked == []


async def test_a_hold_keeps_the_head_and_what_follows() -> None:
    clock = VirtualClock()
    found, exchange, wire = mishaps(clock)
    found.begin(parse_faults("late_head:2"))
    exchange.send_head(200, [])
    exchange.write(b"data")
    held = list(wire.asked)
    await clock.advance(2)

    assert "head 200" not in held
    assert wire.asked[len(held) :] == ["head 200", "schedule"]
    assert exchange.take(9) == b"data"


TOOLS = """
fault = "unknown_event@audioInput"
[[turns]]
hear = "one"
say = "First."
[[turns]]
hear = "two"
tools = [{ name = "lookup" }]
fault = "error_message:ToolTrouble@toolUse"
"""


async def test_a_script_says_what_goes_wrong_in_a_stream_and_in_a_turn(tmp_path: Path) -> None:
    path = tmp_path / "script.toml"
    path.write_text(TOOLS)
    options = Options(scenario=path, manner=Manner(speech_speed=0))
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening(tools=[tool()]), *spoken_turn())
        await stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
        await stream.send(*spoken_turn())
        ending = await stream.ending()

    assert [next(iter(event)) for event in ending.events].count("somethingNew") == 1
    assert next(iter(ending.events[-1])) == "toolUse"
    assert ending.exception is not None
    assert ending.exception[0] == "ToolTrouble"


async def test_a_fault_can_come_while_the_assistant_speaks() -> None:
    async with NovaSonicLocal() as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=[("x-nova-sonic-local-fault", "rst@2audioOutput")])
        await stream.send(*opening(), *spoken_turn())
        ending = await stream.ending()

    assert ending.reset_code == ErrorCodes.NO_ERROR
    assert [next(iter(event)) for event in ending.events].count("audioOutput") == 2


@pytest.mark.parametrize("name", sorted(fault.value for fault, row in FAULTS.items() if row.is_fatal))
async def test_every_fault_that_ends_a_stream_leaves_nothing_behind(name: str) -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator:
        async with RawClient(emulator.h2c_endpoint) as client:
            stream = client.open(headers=[("x-nova-sonic-local-fault", f"{name}@7")])
            await stream.send(*opening(), audio_input(silence(0.1)))
            await stream.ending()
        async with asyncio.timeout(5):
            await emulator.quiet()

        assert emulator.live_streams == 0
