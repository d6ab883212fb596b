"""The drivers: what a flow asks for is done, what fails is thrown back, what was opened is closed."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Callable, Mapping
from threading import Barrier
from typing import Any

import pytest

from openhands_client._async import driver as async_driver
from openhands_client._async.driver import AsyncDriver
from openhands_client._core.commands import (
    Flow,
    Request,
    call_back,
    close,
    connect,
    emit,
    guarded,
    open_body,
    read,
    receive,
    send,
    silence,
    sleep,
    together,
)
from openhands_client._core.session import Session
from openhands_client._sync import driver as sync_driver
from openhands_client._sync.driver import Driver
from tests.unit.sdk.playing import Clock, answer, session_on

REQUEST = Request("GET", "http://app.test", {})


class Transport:
    """Answers requests in memory, and keeps a diary."""

    def __init__(self, module: Any) -> None:
        self.diary: list[str] = []
        self.slept: list[float] = []
        self._module = module

    def check_open(self) -> None:
        assert self.diary is not None

    def send(self, request: Request) -> Any:
        self.diary.append(f"send {request.method}")
        return self._maybe_later(answer({}))

    def open(self, request: Request) -> Any:
        self.diary.append("open")
        return self._maybe_later(resource(self._module, self, "body"))

    def connect(self, url: str, timeout: float, headers: Mapping[str, str]) -> Any:
        self.diary.append("connect")
        return self._maybe_later(resource(self._module, self, "socket"))

    def sleep(self, seconds: float) -> Any:
        self.slept.append(seconds)
        return self._maybe_later(None)

    def release(self, opened: Any) -> Any:
        return opened.aclose() if self._module is async_driver else opened.close()

    def _maybe_later(self, value: Any) -> Any:
        return later(value) if self._module is async_driver else value


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def resource(module: Any, transport: Transport, name: str) -> Any:
    """A body or socket of the driver's own class, which notes what is done to it."""
    kind: Any = {
        ("body", sync_driver): getattr(sync_driver, "StreamedBody", None),
        ("body", async_driver): getattr(async_driver, "AsyncStreamedBody", None),
        ("socket", sync_driver): getattr(sync_driver, "Socket", None),
        ("socket", async_driver): getattr(async_driver, "AsyncSocket", None),
    }[name, module]

    def note(what: str, value: Any = None) -> Callable[..., Any]:
        def act(*_: Any) -> Any:
            transport.diary.append(f"{what} {name}")
            return later(value) if module is async_driver else value

        return act

    members = {
        "__init__": lambda self: None,
        "read": note("read", b"piece"),
        "receive": note("receive", "frame"),
        "close": note("close"),
        "aclose": note("close"),
    }
    return type(f"Noted{kind.__name__}", (kind,), members)()


class Side:
    def __init__(self, module: Any) -> None:
        self.is_async = module is async_driver
        self.transport = Transport(module)
        session: Session = session_on(Clock())
        self.driver: Any = (AsyncDriver if self.is_async else Driver)(session, self.transport)

    async def run(self, flow: Flow[Any]) -> Any:
        result = self.driver.run(flow)
        return await result if inspect.isawaitable(result) else result

    async def iterate(self, flow: Flow[Any], **options: Any) -> list[Any]:
        stream = self.driver.iterate(flow, **options)
        return [value async for value in stream] if self.is_async else list(stream)

    @property
    def diary(self) -> list[str]:
        return self.transport.diary


@pytest.fixture(params=["sync", "async"])
def side(request: pytest.FixtureRequest) -> Side:
    return Side(sync_driver if request.param == "sync" else async_driver)


async def test_every_command_is_performed_and_answered(side: Side) -> None:
    def flow() -> Flow[Any]:
        response = yield from send(REQUEST)
        body = yield from open_body(REQUEST)
        piece = yield from read(body)
        socket = yield from connect("ws://x", 1.0)
        frame = yield from receive(socket, 1.0)
        yield from sleep(3.0)
        called = yield from call_back(lambda a, b: a + b, 1, 2)
        yield from close(body)
        return response.status_code, piece, frame, called

    assert await side.run(flow()) == (200, b"piece", "frame", 3)
    assert side.diary == [
        "send GET",
        "open",
        "read body",
        "connect",
        "receive socket",
        "close body",
        "close socket",
    ]
    assert side.transport.slept == [3.0]


async def test_what_fails_is_thrown_where_it_was_asked_for(side: Side) -> None:
    def boom() -> None:
        raise KeyError("mine")

    def flow() -> Flow[str]:
        try:
            yield from call_back(boom)
        except KeyError as failure:
            yield from send(REQUEST)
            return f"caught {failure}"
        return "not reached"

    assert await side.run(flow()) == "caught 'mine'"


async def test_what_the_flow_does_not_catch_is_raised_and_all_is_closed(side: Side) -> None:
    def flow() -> Flow[None]:
        yield from open_body(REQUEST)
        yield from connect("ws://x", 1.0)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await side.run(flow())
    assert side.diary[-2:] == ["close socket", "close body"]


async def test_a_callback_that_stops_an_iteration_does_not_end_the_flow(side: Side) -> None:
    def stop() -> None:
        raise StopIteration

    def flow() -> Flow[None]:
        yield from call_back(stop)

    with pytest.raises(RuntimeError):
        await side.run(flow())


async def test_a_command_that_nobody_knows_is_an_error(side: Side) -> None:
    def flow() -> Flow[None]:
        yield "nonsense"  # type: ignore[misc]  # the point of the test

    with pytest.raises(TypeError, match="str"):
        await side.run(flow())


def counting(*values: Any) -> Flow[str]:
    for value in values:
        yield from send(REQUEST)
        yield from emit(value)
    return "the end"


async def test_what_is_emitted_is_handed_out_and_the_result_told(side: Side) -> None:
    results: list[str] = []
    values = await side.iterate(counting(1, 2), each=lambda value: value * 10, at_end=results.append)
    assert (values, results) == ([10, 20], ["the end"])
    assert await side.iterate(counting("a")) == ["a"]


async def test_a_silenced_flow_runs_to_its_result(side: Side) -> None:
    assert await side.run(silence(counting(1, 2))) == "the end"
    assert len(side.diary) == 2


async def test_a_silenced_flow_still_gets_its_failures() -> None:
    def flow() -> Flow[str]:
        try:
            yield from send(REQUEST)
        except KeyError:
            yield from emit("dropped")
            return "caught"
        return "not reached"

    silent = silence(flow())
    next(silent)
    with pytest.raises(StopIteration) as stop:
        silent.throw(KeyError("mine"))
    assert stop.value.value == "caught"


async def test_a_loop_that_is_left_closes_what_was_opened(side: Side) -> None:
    def flow() -> Flow[None]:
        yield from open_body(REQUEST)
        while True:
            yield from emit("again")

    stream = side.driver.iterate(flow())
    if side.is_async:
        async for _ in stream:
            break
        await stream.aclose()
    else:
        for _ in stream:
            break
        del stream
        gc.collect()
    assert side.diary == ["open", "close body"]


async def test_a_stream_that_was_never_started_asks_for_nothing(side: Side) -> None:
    stream = side.driver.iterate(counting(1))
    if side.is_async:
        await stream.aclose()
    else:
        stream.close()
    assert side.diary == []


async def test_a_cancelled_flow_closes_what_was_opened() -> None:
    side = Side(async_driver)
    waiting = asyncio.Event()

    async def for_ever() -> None:
        waiting.set()
        await asyncio.Event().wait()

    def flow() -> Flow[None]:
        yield from open_body(REQUEST)
        yield from call_back(for_ever)

    task = asyncio.create_task(side.run(flow()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert side.diary == ["open", "close body"]


async def test_an_interrupt_closes_what_was_opened() -> None:
    side = Side(sync_driver)

    def interrupt() -> None:
        raise KeyboardInterrupt

    def flow() -> Flow[None]:
        yield from open_body(REQUEST)
        yield from call_back(interrupt)

    with pytest.raises(KeyboardInterrupt):
        side.driver.run(flow())
    assert side.diary == ["open", "close body"]


# Several flows at once


def meeting(others: Barrier) -> Flow[str]:
    yield from call_back(others.wait)
    return "met"


async def test_threads_that_were_asked_for_run_at_the_same_time() -> None:
    side = Side(sync_driver)
    others = Barrier(3, timeout=10)
    assert await side.run(together([meeting(others) for _ in range(3)], 3, threads=True)) == ["met"] * 3


async def test_the_first_failure_ends_the_flows_in_other_threads() -> None:
    side = Side(sync_driver)
    others = Barrier(2, timeout=10)
    went_on: list[str] = []

    def failing() -> Flow[str]:
        yield from call_back(others.wait)
        raise KeyError("mine")

    def endless() -> Flow[str]:
        yield from open_body(REQUEST)
        yield from call_back(others.wait)
        while True:
            yield from call_back(went_on.append, "on")

    def never_begun() -> Flow[str]:
        went_on.append("begun")
        yield from send(REQUEST)
        return "not reached"

    before = threading.active_count()
    with pytest.raises(KeyError, match="mine"):
        await side.run(together([failing(), endless(), never_begun()], 2, threads=True))
    assert "begun" not in went_on
    assert side.diary == ["open", "close body"]
    assert threading.active_count() == before


async def test_after_a_failure_no_further_task_begins() -> None:
    side = Side(async_driver)
    begun: list[int] = []

    def one(number: int) -> Flow[str]:
        begun.append(number)
        yield from send(REQUEST)
        raise KeyError(number)

    with pytest.raises(KeyError):
        await side.run(together([one(number) for number in range(5)], 1))
    assert begun == [0]


async def test_a_guarded_flow_ends_before_its_next_command() -> None:
    closed: list[str] = []

    def flow() -> Flow[str]:
        try:
            yield from send(REQUEST)
            yield from send(REQUEST)
        finally:
            closed.append("closed")
        return "not reached"

    def check() -> None:
        if len(asked) == 1:
            raise TimeoutError

    asked: list[Any] = []
    guard = guarded(flow(), check)
    asked.append(next(guard))
    with pytest.raises(TimeoutError):
        guard.send(answer({}))
    assert closed == ["closed"]
