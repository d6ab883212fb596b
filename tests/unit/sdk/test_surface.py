"""The shape of the public face: both sides alike, every documented operation reachable, imports cheap."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

import openhands_client
from openhands_client import (
    AsyncConversation,
    AsyncOpenHands,
    AsyncStartTask,
    Conversation,
    OpenHands,
    StartTask,
)
from openhands_client._async.conversations import AsyncConversations
from openhands_client._core import operations as ops
from openhands_client._core.operation import Operation, Repeat
from openhands_client._core.ordering import CreateOptions
from openhands_client._sync.conversations import Conversations

ROOT = Path(__file__).resolve().parents[3]

PAIRS: list[tuple[type, type]] = [
    (OpenHands, AsyncOpenHands),
    (Conversations, AsyncConversations),
    (Conversation, AsyncConversation),
    (StartTask, AsyncStartTask),
]
_WORD_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def attributes_of(kind: type, name: str) -> Any:
    return inspect.getattr_static(kind, name)


def parts_of(kind: type) -> dict[str, type]:
    """What a client or handle gives out as attributes: services, and parts of a conversation."""
    parts: dict[str, type] = {}
    for name, member in vars(kind).items():
        getter = getattr(member, "func", None) or getattr(member, "fget", None)
        if getter is None or name.startswith("_"):
            continue
        made = inspect.get_annotations(getter).get("return")
        found = getter.__globals__.get(made) if isinstance(made, str) else made
        if found is None and kind in (OpenHands, AsyncOpenHands):
            found = type(getattr(kind(), name))  # services are loaded at first use
        if inspect.isclass(found) and found.__module__.startswith(
            ("openhands_client._sync", "openhands_client._async")
        ):
            parts[name] = found
    return parts


def pairs() -> list[tuple[type, type]]:
    """The public classes of both sides, side by side."""
    found = list(PAIRS)
    for sync, async_ in found:
        parts, async_parts = parts_of(sync), parts_of(async_)
        assert parts.keys() == async_parts.keys()
        for name, part in parts.items():
            if (part, async_parts[name]) not in found:
                found.append((part, async_parts[name]))
    return found


def members_of(kind: type) -> dict[str, Any]:
    """Everything public of a class, by its name on the sync side."""
    sync_names = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
    names = {name for base in kind.__mro__ for name in vars(base)} - set(vars(object))
    public = {
        name
        for name in names
        if not name.startswith("_") or name in ("__init__", *sync_names, *sync_names.values())
    }
    return {sync_names.get(name, name): attributes_of(kind, name) for name in public}


def signature_of(function: Any) -> str:
    """The signature without what differs by rule between the sides."""
    text = str(inspect.signature(function))
    return re.sub(r"\bAsync([A-Z])", r"\1", text)


@pytest.mark.parametrize(("sync", "async_"), pairs(), ids=lambda kind: kind.__name__)
def test_both_sides_have_the_same_members_with_the_same_signatures(sync: type, async_: type) -> None:
    assert async_.__name__ == f"Async{sync.__name__}"
    one, other = members_of(sync), members_of(async_)
    assert one.keys() == other.keys()
    for name, member in one.items():
        assert type(member) is type(other[name]), name
        if inspect.isfunction(member):
            assert signature_of(member) == signature_of(other[name]), name
            assert not inspect.iscoroutinefunction(member), name
            streams = "Stream[" in str(inspect.get_annotations(member).get("return"))
            asks_a_server = {"_call", "run"} & set(other[name].__code__.co_names)
            assert inspect.iscoroutinefunction(other[name]) or streams or not asks_a_server, name


@pytest.mark.parametrize(("sync", "async_"), pairs(), ids=lambda kind: kind.__name__)
def test_everything_public_says_what_it_does(sync: type, async_: type) -> None:
    for kind in (sync, async_):
        assert kind.__doc__
        for name, member in members_of(kind).items():
            function = getattr(member, "func", None) or getattr(member, "fget", None) or member
            if (
                name.startswith("__")
                or not callable(function)
                or name in ("id", "status", "base_url", "title")
            ):
                continue
            assert function.__doc__, f"{kind.__name__}.{name}"


def test_a_copy_takes_what_a_new_client_takes() -> None:
    for kind in (OpenHands, AsyncOpenHands):
        client = kind("http://app.test")
        given = set(inspect.signature(kind).parameters) - {"http_client"}
        assert given == set(vars(client._options))


def test_the_typed_keywords_of_create_are_its_parameters() -> None:
    for kind in (Conversations, AsyncConversations):
        implementation = inspect.getattr_static(kind, "create")
        keywords = [
            name
            for name, parameter in inspect.signature(implementation).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and name != "wait"
        ]
        assert set(get_type_hints(CreateOptions)) == set(keywords)


def test_every_public_name_is_there() -> None:
    assert openhands_client.__all__ == sorted(openhands_client.__all__)
    for name in openhands_client.__all__:
        assert getattr(openhands_client, name) is not None
    with pytest.raises(AttributeError, match="OpenHand"):
        _ = openhands_client.OpenHand  # type: ignore[attr-defined]  # the point of the test


# Operations


@cache
def documented() -> tuple[tuple[str, str, str, str], ...]:
    """Server, operationId in snake_case, method and path of every operation in the two documents."""
    found = []
    for server in ("app", "agent"):
        text = (ROOT / "openapi" / f"{server}-server.yaml").read_text()
        for path, item in yaml.safe_load(text)["paths"].items():
            for method in item.keys() & {"get", "post", "put", "patch", "delete"}:
                name = _WORD_BORDER.sub("_", item[method]["operationId"]).lower()
                found.append((server, name, method.upper(), path))
    return tuple(sorted(found))


CATALOGUE = {(operation.server, operation.name): operation for operation in ops.ALL}
CONSTANTS = {name: value for name, value in vars(ops).items() if isinstance(value, Operation)}


@pytest.mark.parametrize(("server", "name", "method", "path"), documented())
def test_every_documented_operation_is_in_the_catalogue(
    server: str, name: str, method: str, path: str
) -> None:
    operation = CATALOGUE[server, name]
    assert (operation.method, operation.path) == (method, path)


def test_the_catalogue_names_each_operation_once_and_by_its_constant() -> None:
    assert len(CATALOGUE) == len(ops.ALL) == len(CONSTANTS)
    for server, name, _, _ in documented():
        prefix = "AGENT_" if server == "agent" else ""
        assert CONSTANTS[prefix + name.upper()] is CATALOGUE[server, name]


def functions_of(kind: type) -> list[types.FunctionType]:
    found = []
    for base in kind.__mro__:
        for member in list(vars(base).values()):  # a model completes itself when it is looked at
            function = (
                getattr(member, "func", None)
                or getattr(member, "fget", None)
                or getattr(member, "__func__", member)
            )
            if inspect.isfunction(function):
                found.append(function)
    return found


def is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).startswith("openhands_client")


class Reached:
    """What the code of some functions names, and what that names in turn."""

    def __init__(self, functions: list[types.FunctionType]) -> None:
        self.operations: set[int] = set()
        self._seen: set[Any] = set()
        for function in functions:
            self._function(function)

    def _function(self, function: types.FunctionType) -> None:
        if function not in self._seen:
            self._seen.add(function)
            self._code(function.__code__, function.__globals__)

    def _code(self, code: types.CodeType, names: dict[str, Any]) -> None:
        modules = []
        for name in code.co_names:
            value = names.get(name)
            if inspect.ismodule(value) and value.__name__.startswith("openhands_client"):
                modules.append(value)
            self._value(value)
            for module in modules:
                self._value(vars(module).get(name))
        for constant in code.co_consts:
            if inspect.iscode(constant):
                self._code(constant, names)

    def _value(self, value: Any) -> None:
        if isinstance(value, Operation):
            self.operations.add(id(value))
        elif isinstance(value, tuple) and any(isinstance(part, Operation) for part in value):
            self.operations |= {id(part) for part in value}
        elif inspect.isfunction(value) and is_ours(value):
            self._function(value)
        elif inspect.isclass(value) and is_ours(value) and value not in self._seen:
            self._seen.add(value)
            for function in functions_of(value):
                self._function(function)


@pytest.mark.parametrize("side", [0, 1], ids=["sync", "async"])
def test_every_operation_is_behind_a_public_method(side: int) -> None:
    public = [
        member
        for pair in pairs()
        for name, member in members_of(pair[side]).items()
        if inspect.isfunction(member) and name != "__init__"
    ]
    reached = Reached(public).operations
    unused = [name for name, operation in CONSTANTS.items() if id(operation) not in reached]
    assert unused == []


def test_what_starts_or_sends_something_is_verified_before_it_is_repeated() -> None:
    verified = {name for name, operation in CONSTANTS.items() if operation.repeat is Repeat.VERIFY}
    assert verified == {
        "CREATE_CONVERSATION",
        "ADD_CONVERSATION_EVENT",
        "ADD_CONVERSATION_MESSAGE",
        "START_APP_CONVERSATION",
        "STREAM_START_APP_CONVERSATION",
        "AGENT_RUN_CONVERSATION",
        "AGENT_SEND_EVENT",
        "AGENT_RESPOND_TO_CONFIRMATION",
    }
    assert {name for name, operation in CONSTANTS.items() if operation.evidence} == verified


def test_reading_is_always_safe_to_repeat() -> None:
    for operation in ops.ALL:
        if operation.method == "GET":
            assert operation.repeat is Repeat.SAFE


# Generated code and imports


def test_the_sync_side_is_what_the_async_side_makes_it() -> None:
    check = [sys.executable, str(ROOT / "scripts" / "unasync.py"), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


HEAVY = ("flask", "schemathesis", "yaml", "click", "rich", "socketio", "engineio", "websockets", "tenacity")
PROGRAM = """
import sys
import httpx, pydantic  # httpx itself loads click and rich where they are installed
before = set(sys.modules)
import openhands_client
openhands_client.OpenHands("http://localhost:3000")
loaded = set(sys.modules) - before
print(sorted(name for name in loaded if name.split(".")[0] in {heavy!r}))
print(sorted(name for name in loaded if name.startswith(("openhands_client._async", "openhands_client.models."))))
openhands_client.AsyncOpenHands
print("openhands_client._async.client" in sys.modules)
"""


def test_importing_the_package_loads_nothing_that_it_may_not_need() -> None:
    program = PROGRAM.format(heavy=HEAVY)
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert output.stdout.splitlines() == ["[]", "[]", "True"]
