"""Sessions in the store: when they are written, handed over, taken, and what happens while the store is away."""

import asyncio
from collections.abc import Sequence

import pytest

from s2s.events import OutputEvent, Role, TextInput
from session.errors import ServerBusy, ServerLeaving
from session.events import End, EndReason, GoingAway, HistoryTurn, SendAudio, SendText, SessionEnded, SessionEvent, SessionStarted, Start
from session.keeper import AWAY_SECONDS, BUSY_SECONDS, GATHER_SECONDS, REFRESH_SECONDS, STORE_SECONDS, SessionKeeper
from session.registry import SessionRegistry
from session.runner import SessionRunner
from session.snapshot import SessionSnapshot
from telemetry.counters import Counters
from tests.session.doubles import PROFILE, LoopClock, Nova, Recorder, ScriptedModel, ScriptedTools

HANDLE = "ab" * 32


class SharedStore:
    """A store that several processes share; can be away, slow or hang."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[str, bytes]] = {}
        self.saves: list[tuple[float, str]] = []
        self.drops: list[str] = []
        self.calls = 0
        self.at_once = 0
        self.most_at_once = 0
        self.is_away = False
        self.seconds = 0.01
        self.kept_for = 0.0

    async def save(self, handle: str, snapshot: bytes, *, owner: str, seconds: float) -> bool:
        await self._work()
        if handle in self.records and self.records[handle][0] != owner:
            return False
        self.records[handle] = (owner, snapshot)
        self.saves.append((asyncio.get_running_loop().time(), handle))
        self.kept_for = seconds
        return True

    async def take(self, handle: str) -> bytes | None:
        await self._work()
        _, snapshot = self.records.get(handle, ("", b""))
        if handle in self.records:
            self.records[handle] = ("", b"")
        return snapshot or None

    async def drop(self, handle: str) -> None:
        await self._work()
        self.records.pop(handle, None)
        self.drops.append(handle)

    async def _work(self) -> None:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if self.is_away:
            raise ConnectionError("no route to the store")


class Process:
    """A registry with a keeper, as one server process has them."""

    def __init__(self, store: SharedStore, places: int = 3) -> None:
        self.store = store
        self.counters = Counters()
        self.model = ScriptedModel()
        self.tools = ScriptedTools()
        self.recorder = Recorder()
        self.keeper = SessionKeeper(store, self.counters, 30.0)
        self.registry = SessionRegistry(
            model=self.model,
            tools=self.tools,
            assistants={"carlos": PROFILE},
            default_assistant="carlos",
            observers=(self.recorder,),
            clock=LoopClock(),
            max_sessions=places,
            keeper=self.keeper,
        )

    async def started(self, handle: str = HANDLE, principal: str = "") -> "Call":
        """Run a session whose client can come back with this handle; empty for one that cannot."""
        runner = self.registry.open(Start())
        runner.client.principal = principal
        call = Call(runner, self.registry.launch(runner))
        await call.until(SessionStarted)
        if handle:
            runner.client.found_by(handle)
        return call

    async def adopted(self, handle: str = HANDLE, principal: str = "", next_handle: str = "cd" * 32) -> "Call | None":
        """Go on with a session of another process."""
        runner = await self.registry.adopt(handle, principal)
        if runner is None:
            return None
        call = Call(runner, self.registry.launch(runner))
        runner.client.found_by(next_handle)
        return call

    def says(self, events: Sequence[OutputEvent]) -> None:
        """Let the model say something on the first stream."""
        self.model.streams[0].say(events)


class Call:
    """A session and a client that listens to it."""

    def __init__(self, runner: SessionRunner, task: asyncio.Task[None]) -> None:
        self.runner = runner
        self.task = task
        self.told: list[SessionEvent] = []
        self._listening = asyncio.create_task(self._listen())
        self._news = asyncio.Event()

    async def _listen(self) -> None:
        while (event := await self.runner.next_event()) is not None:
            self.told.append(event)
            self._news.set()

    async def until(self, kind: type[SessionEvent]) -> None:
        """Wait for an event."""
        while not any(isinstance(event, kind) for event in self.told):
            self._news.clear()
            await self._news.wait()

    async def end(self) -> SessionEnded:
        """Wait for the end."""
        await asyncio.wait({self.task, self._listening})
        last = self.told[-1]
        assert isinstance(last, SessionEnded)
        return last


@pytest.fixture
def store() -> SharedStore:
    return SharedStore()


@pytest.fixture
def first(store: SharedStore) -> Process:
    return Process(store)


@pytest.fixture
def second(store: SharedStore) -> Process:
    return Process(store)


def exchange(said: str, answer: str, ms: float = 1_000) -> list[OutputEvent]:
    """Return what the model says of one exchange."""
    nova = Nova()
    return [*nova.hears(), *nova.heard_out(), *nova.user(said), *nova.plans(answer), *nova.speaks(ms), *nova.said(answer)]


def kept(store: SharedStore, handle: str = HANDLE) -> SessionSnapshot:
    return SessionSnapshot.decode(store.records[handle][1])


def told_texts(process: Process, opening: int) -> list[str]:
    return [event.content for event in process.model.openings[opening] if isinstance(event, TextInput)][1:]


async def test_a_session_is_kept_within_a_second_of_what_was_said(first: Process, store: SharedStore) -> None:
    call = await first.started()
    await asyncio.sleep(10.0)
    await call.runner.submit(SendText("Me llamo Ana."))
    await asyncio.sleep(1.0)

    assert kept(store).history == (HistoryTurn(Role.USER, "Me llamo Ana."),)
    assert GATHER_SECONDS + store.seconds < 1.0
    await call.runner.submit(End())
    await call.end()


async def test_what_is_heard_is_kept_while_it_is_spoken(first: Process, store: SharedStore) -> None:
    call = await first.started()
    first.says(exchange("Contá.", "uno dos tres cuatro cinco seis siete ocho nueve diez", 10_000))
    await asyncio.sleep(5.0)
    then = kept(store).history[-1].text
    await asyncio.sleep(20.0)

    assert len(then.split()) in range(2, 6)
    assert kept(store).history[-1].text.endswith("diez")
    assert 10.0 / BUSY_SECONDS <= len(store.saves) <= 12
    await call.runner.submit(End())
    await call.end()


async def test_a_session_in_which_nothing_happens_is_kept_alive_and_no_more(first: Process, store: SharedStore) -> None:
    call = await first.started()
    await asyncio.sleep(0.5)
    before = len(store.saves)
    await asyncio.sleep(5 * REFRESH_SECONDS)

    assert len(store.saves) - before in (4, 5)
    assert store.kept_for == REFRESH_SECONDS + BUSY_SECONDS + 30.0
    await call.runner.submit(End())
    await call.end()


async def test_a_session_whose_client_cannot_come_back_is_not_kept(first: Process, store: SharedStore) -> None:
    call = await first.started(handle="")
    first.says(exchange("Hola.", "Hola."))
    await asyncio.sleep(2 * REFRESH_SECONDS)

    assert store.calls == 0
    await call.runner.submit(End())
    await call.end()


async def test_the_record_goes_with_the_session(first: Process, store: SharedStore) -> None:
    call = await first.started()
    await asyncio.sleep(1.0)
    await call.runner.submit(End())
    await call.end()
    await first.keeper.aclose()

    assert store.records == {}


async def test_the_record_follows_the_clients_handle(first: Process, store: SharedStore) -> None:
    call = await first.started()
    await asyncio.sleep(1.0)
    call.runner.client.found_by("cd" * 32)
    await asyncio.sleep(1.0)

    assert list(store.records) == ["cd" * 32]
    await call.runner.submit(End())
    await call.end()


@pytest.mark.req("S4-85")
async def test_a_quiet_session_is_parked_at_once_and_another_process_goes_on_with_it(
    first: Process, second: Process, store: SharedStore
) -> None:
    call = await first.started()
    first.says(exchange("Me llamo Ana.", "Hola, Ana."))
    await asyncio.sleep(10.0)
    call.runner.client.upstream = 123
    began = asyncio.get_running_loop().time()
    await first.registry.drain(20.0)
    ended = await call.end()
    again = await second.adopted()

    assert asyncio.get_running_loop().time() - began < 1.0
    assert (ended.reason, ended.close_code) == (EndReason.PARKED, 1_012)
    assert [event.time_left_ms for event in call.told if isinstance(event, GoingAway)] == [20_000]
    assert again is not None
    assert (again.runner.session_id, again.runner.client.upstream) == (call.runner.session_id, 123)
    await asyncio.sleep(1.0)
    assert told_texts(second, 0) == ["Me llamo Ana.", "Hola, Ana."]
    assert list(store.records) == [HANDLE, "cd" * 32]
    await again.runner.submit(End())
    await again.end()


async def test_what_is_being_said_is_heard_to_the_end_before_a_session_is_parked(first: Process, store: SharedStore) -> None:
    call = await first.started()
    first.says(exchange("Contá.", "uno dos tres cuatro", 4_000))
    await asyncio.sleep(1.0)
    began = asyncio.get_running_loop().time()
    await first.registry.drain(20.0)

    assert (await call.end()).reason is EndReason.PARKED
    assert 2.5 < asyncio.get_running_loop().time() - began < 4.5
    assert kept(store).history[-1].text == "uno dos tres cuatro"
    assert [type(event) for event in call.told].index(GoingAway) < len(call.told) - 5


async def test_at_the_end_of_the_time_a_session_is_parked_in_the_middle_of_a_sentence(first: Process, store: SharedStore) -> None:
    call = await first.started()
    first.says(exchange("Contá.", "uno dos tres cuatro cinco seis siete ocho nueve diez", 20_000))
    await asyncio.sleep(1.0)
    began = asyncio.get_running_loop().time()
    await first.registry.drain(10.0)

    assert (await call.end()).reason is EndReason.PARKED
    assert asyncio.get_running_loop().time() - began <= 10.0
    assert kept(store).history[-1].text == "uno dos tres cuatro"


async def test_a_caller_who_is_about_to_speak_is_heard_first(first: Process, store: SharedStore) -> None:
    call = await first.started()
    voice = b"".join((3_000 * (-1) ** (number // 20)).to_bytes(2, "little", signed=True) for number in range(1_600))
    for pcm in [bytes(3_200)] * 5 + [voice] * 2:
        await call.runner.submit(SendAudio(pcm))
    draining = asyncio.create_task(first.registry.drain(20.0))
    await asyncio.sleep(0.3)
    was_over = call.runner.is_over
    for pcm in [bytes(3_200)] * 5:
        await call.runner.submit(SendAudio(pcm))
    await draining

    assert not was_over
    assert (await call.end()).reason is EndReason.PARKED


async def test_a_session_whose_client_is_away_is_parked_at_once(first: Process, store: SharedStore) -> None:
    call = await first.started()
    first.says(exchange("Contá.", "uno dos tres cuatro cinco seis siete ocho nueve diez", 20_000))
    await asyncio.sleep(4.0)
    call.runner.client_lost(30.0, 0)
    began = asyncio.get_running_loop().time()
    await first.registry.drain(20.0)

    assert asyncio.get_running_loop().time() - began < 1.0
    assert call.runner.is_over
    assert kept(store).history[-1].text == "uno dos"
    assert first.counters.read()["session_parked"] == 1


async def test_a_session_whose_client_cannot_come_back_ends_politely(first: Process, store: SharedStore) -> None:
    call = await first.started(handle="")
    await first.registry.drain(20.0)

    assert (await call.end()).reason is EndReason.SERVER_LEAVING
    assert store.records == {}


async def test_while_the_store_is_away_sessions_end_politely(first: Process, store: SharedStore) -> None:
    call = await first.started()
    await asyncio.sleep(1.0)
    store.is_away = True
    began = asyncio.get_running_loop().time()
    await first.registry.drain(60.0)

    assert (await call.end()).reason is EndReason.SERVER_LEAVING
    assert asyncio.get_running_loop().time() - began < sum(AWAY_SECONDS[:3]) + 1.0


async def test_a_store_that_fails_once_does_not_keep_a_session_from_being_parked(first: Process, store: SharedStore) -> None:
    call = await first.started()
    await asyncio.sleep(1.0)
    store.is_away = True
    draining = asyncio.create_task(first.registry.drain(20.0))
    await asyncio.sleep(0.1)
    store.is_away = False
    await draining

    assert (await call.end()).reason is EndReason.PARKED


async def test_a_store_that_hangs_holds_nothing_up(first: Process, store: SharedStore) -> None:
    store.seconds = 3_600.0
    call = await first.started()
    await asyncio.sleep(1.0)
    began = asyncio.get_running_loop().time()
    await first.registry.drain(20.0)
    await call.end()
    await first.keeper.aclose()

    assert asyncio.get_running_loop().time() - began < 20.0 + 2 * STORE_SECONDS
    assert first.registry.live == 0


async def test_an_outage_costs_one_line_of_log_and_few_calls(first: Process, store: SharedStore, caplog: pytest.LogCaptureFixture) -> None:
    store.is_away = True
    calls = [await first.started(f"{number:064}") for number in range(3)]
    await asyncio.sleep(300.0)
    failed = store.calls
    store.is_away = False
    await asyncio.sleep(2 * AWAY_SECONDS[-1])

    assert failed < 20
    assert len(store.records) == 3
    assert first.counters.read()["session_unsaved"] >= failed
    for call in calls:
        await call.runner.submit(End())
        await call.end()


async def test_who_was_taken_learns_of_it_and_ends(first: Process, second: Process, store: SharedStore) -> None:
    old = await first.started()
    await asyncio.sleep(1.0)
    new = await second.adopted()
    first.says(exchange("Hola.", "Hola."))
    ended = await old.end()
    await first.keeper.aclose()

    assert new is not None
    assert ended.reason is EndReason.PARKED
    assert not new.runner.is_over
    assert HANDLE in store.records
    await new.runner.submit(End())
    await new.end()


async def test_a_client_that_comes_back_to_where_it_was_finds_one_session(first: Process, second: Process, store: SharedStore) -> None:
    old = await first.started()
    await asyncio.sleep(1.0)
    away = await second.adopted()
    await asyncio.sleep(1.0)
    back = await first.adopted("cd" * 32, next_handle="ef" * 32)
    await asyncio.sleep(1.0)

    assert away is not None
    assert back is not None
    assert old.runner.is_over
    assert not back.runner.is_over
    assert first.registry.live == 1
    await asyncio.sleep(2 * REFRESH_SECONDS)
    assert away.runner.is_over
    await back.runner.submit(End())
    await back.end()


async def test_a_session_is_its_principals_alone(first: Process, second: Process) -> None:
    call = await first.started(principal="ana")
    await asyncio.sleep(1.0)

    assert await second.adopted(principal="eva") is None
    back = await second.adopted(principal="ana")
    assert back is not None
    await back.runner.submit(End())
    await back.end()
    call.task.cancel()
    await call.end()


async def test_an_unknown_handle_leads_nowhere(second: Process) -> None:
    assert await second.adopted() is None
    assert second.registry.has_room


async def test_a_record_that_cannot_be_read_leads_nowhere(second: Process, store: SharedStore) -> None:
    store.records[HANDLE] = ("somebody", b"{}")

    assert await second.adopted() is None


async def test_a_full_house_takes_nothing_from_the_store(first: Process, store: SharedStore) -> None:
    call = await first.started()
    await asyncio.sleep(1.0)
    full = Process(store, places=1)
    guest = await full.started(handle="")
    with pytest.raises(ServerBusy):
        await full.registry.adopt(HANDLE, "")
    for each in (call, guest):
        await each.runner.submit(End())
        await each.end()

    assert store.records.get(HANDLE, ("first", b"?"))[1] != b""


async def test_a_place_is_kept_while_a_session_is_fetched(first: Process, store: SharedStore) -> None:
    call = await first.started()
    await asyncio.sleep(1.0)
    small = Process(store, places=1)
    fetching = asyncio.create_task(small.adopted())
    await asyncio.sleep(0)
    with pytest.raises(ServerBusy):
        small.registry.open(Start())
    fetched = await fetching

    assert fetched is not None
    for each in (fetched, call):
        each.task.cancel()
        await each.end()


async def test_while_the_store_is_away_a_client_is_asked_to_try_again(second: Process, store: SharedStore) -> None:
    store.is_away = True

    with pytest.raises(ServerBusy) as refusal:
        await second.registry.adopt(HANDLE, "")
    assert refusal.value.retryable


async def test_a_process_that_leaves_takes_nothing_and_gives_back_what_it_was_fetching(
    first: Process, second: Process, store: SharedStore
) -> None:
    call = await first.started()
    await asyncio.sleep(1.0)
    await first.registry.drain(5.0)
    fetching = asyncio.create_task(second.registry.adopt(HANDLE, ""))
    await asyncio.sleep(store.seconds / 2)
    await second.registry.drain(0.0)
    with pytest.raises(ServerLeaving):
        await fetching
    with pytest.raises(ServerLeaving):
        await second.registry.adopt(HANDLE, "")
    third = await Process(store).adopted()
    await asyncio.sleep(1.0)

    assert third is not None
    assert third.runner.session_id == call.runner.session_id
    third.task.cancel()
    await third.end()


async def test_a_process_that_is_cut_short_leaves_its_sessions_to_others(first: Process, second: Process) -> None:
    call = await first.started()
    first.says(exchange("Contá.", "uno dos tres", 10_000))
    await asyncio.sleep(3.0)
    first.registry.let_go()
    await first.registry.close()
    await first.keeper.aclose()
    again = await second.adopted()

    assert (await call.end()).reason is EndReason.PARKED
    assert again is not None
    again.task.cancel()
    await again.end()


async def test_a_client_that_ends_its_session_while_the_server_leaves_has_ended_it(first: Process, store: SharedStore) -> None:
    call = await first.started()
    first.says(exchange("Contá.", "uno dos tres", 10_000))
    await asyncio.sleep(1.0)
    draining = asyncio.create_task(first.registry.drain(20.0))
    await asyncio.sleep(1.0)
    await call.runner.submit(End())
    await draining
    await first.keeper.aclose()

    assert (await call.end()).reason is EndReason.CLIENT
    assert store.records == {}


async def test_a_session_is_written_by_one_call_at_a_time(first: Process, store: SharedStore) -> None:
    store.seconds = 1.5
    call = await first.started()
    for number in range(20):
        await call.runner.submit(SendText(f"{number}"))
        await asyncio.sleep(0.4)

    assert store.most_at_once == 1
    await call.runner.submit(End())
    await call.end()


async def test_tools_that_ran_are_run_again_elsewhere(first: Process, second: Process) -> None:
    call = await first.started()
    nova = Nova()
    first.says([*nova.hears(), *nova.heard_out(), *nova.user("¿Y mi pedido?"), *nova.calls("tool-1", '{"id":"1"}')])
    await asyncio.sleep(1.0)
    again = await second.adopted()
    await asyncio.sleep(1.0)

    assert again is not None
    assert again.runner.session_id == call.runner.session_id
    assert list(second.tools.calls) == ["tool-1"]
    for each in (again, call):
        each.task.cancel()
        await each.end()
