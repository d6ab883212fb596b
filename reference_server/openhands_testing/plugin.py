"""The pytest plugin of `openhands-client[testing]`: a server, clients, scenarios and faked answers for tests.

pytest loads it wherever the distribution is installed, so it imports nothing before a fixture is used.
Every test has a server of its own, on ports of its own: tests see nothing of each other, in one process or
in many.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import respx

    from openhands_client import AsyncOpenHands, OpenHands
    from openhands_reference_server import ReferenceServer
    from openhands_reference_server.scenarios import ScenarioSource

_MARKERS = (
    "openhands_scenario(source): what the agent of `openhands_server` does: a path (beside the test's file, "
    "or from where pytest was started), YAML text, or what such a file holds",
    "openhands_server(**options): arguments of ReferenceServer for the server of this test",
)
_ENVIRONMENT = ("OPENHANDS_API_KEY", "OPENHANDS_CLOUD_API_KEY", "OPENHANDS_SESSION_API_KEY")
_EXTRA = "openhands-client[testing]"


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture
def openhands_scenario(request: pytest.FixtureRequest) -> ScenarioSource | None:
    """The scenario of this test; None: the agent echoes the message and finishes.

    Choose one with the marker of the same name, by parametrizing it, or with a fixture of the same name.
    """
    marker = request.node.get_closest_marker("openhands_scenario")
    if marker is None:
        return None
    if len(marker.args) != 1 or marker.kwargs:
        raise pytest.UsageError("@pytest.mark.openhands_scenario takes one argument: the scenario")
    source: ScenarioSource = marker.args[0]
    return source


@pytest.fixture
def openhands_server(
    request: pytest.FixtureRequest,
    openhands_scenario: ScenarioSource | None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ReferenceServer]:
    """A reference server for this test.

    While the test runs, OPENHANDS_BASE_URL leads to it and no key is set, so that code under test that makes
    its own client finds it.
    """
    server_module = _import("openhands_reference_server")
    options = _server_options(request)
    source = _located(openhands_scenario, request.node.path.parent)
    with server_module.ReferenceServer(scenario=source, **options) as server:
        monkeypatch.setenv("OPENHANDS_BASE_URL", server.url)
        for name in _ENVIRONMENT:
            monkeypatch.delenv(name, raising=False)
        if options.get("session_api_key"):
            monkeypatch.setenv("OPENHANDS_SESSION_API_KEY", options["session_api_key"])
        yield server


@pytest.fixture
def openhands_client(openhands_server: ReferenceServer) -> Iterator[OpenHands]:
    """A client of `openhands_server`."""
    with _import("openhands_client").OpenHands() as client:
        yield client


@pytest.fixture
def async_openhands_client(
    openhands_server: ReferenceServer, request: pytest.FixtureRequest
) -> AsyncOpenHands:
    """An async client of `openhands_server`, closed in the event loop of the test when that ends.

    Works with pytest-asyncio, with anyio, and without either: then the test runs in `asyncio.run`. A test
    that is no coroutine function closes the client itself.
    """
    client: AsyncOpenHands = _import("openhands_client").AsyncOpenHands()
    if inspect.iscoroutinefunction(request.node.obj):
        request.node.obj = _closing(client, request.node.obj)
    return client


@pytest.fixture
def openhands_respx() -> Iterator[Callable[..., respx.MockRouter]]:
    """Makes respx routers that answer every operation with the example of the OpenAPI documents.

    See `openhands_testing.respx_router.openhands_router` for what it takes. A router works from when it is
    made until the test ends.
    """
    module = _import("openhands_testing.respx_router")
    with ExitStack() as routers:

        def start(*args: Any, **options: Any) -> respx.MockRouter:
            router: respx.MockRouter = routers.enter_context(module.openhands_router(*args, **options))
            return router

        yield start


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function that uses the async client, where no other plugin has done so."""
    test = pyfuncitem.obj
    if "async_openhands_client" not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(test):
        return None
    import asyncio  # only now: see above

    names = inspect.signature(test).parameters
    asyncio.run(test(**{name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}))
    return True


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as missing:
        raise pytest.UsageError(f"the openhands fixtures need {_EXTRA}: {missing}") from missing


def _server_options(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """The options of all markers; the nearest one wins."""
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("openhands_server"))):
        if marker.args:
            raise pytest.UsageError("@pytest.mark.openhands_server takes keyword arguments only")
        options |= marker.kwargs
    return options


def _located(source: ScenarioSource | None, folder: Path) -> ScenarioSource | None:
    """A path beside the test's file, if there is such a file; otherwise the source as it is."""
    if isinstance(source, Path) or (isinstance(source, str) and "\n" not in source):
        beside = folder / source
        return beside if beside.is_file() else source
    return source


def _closing(
    client: AsyncOpenHands, test: Callable[..., Awaitable[object]]
) -> Callable[..., Awaitable[object]]:
    @wraps(test)
    async def closing(*args: Any, **kwargs: Any) -> object:
        async with client:
            return await test(*args, **kwargs)

    return closing
