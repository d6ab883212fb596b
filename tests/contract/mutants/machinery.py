"""How a wrong server is made: the reference server, and one fault.

A fault changes the answers of some operations (`on`), the requests that reach them (`before`), or the inside of
the server while it runs (`inside`). Each is registered with a sentence that says what is wrong, and the
requirements of which at least one has to be named by whoever judges the server.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode

from werkzeug.datastructures import Headers
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request

from openhands_contract.documents import Dialect
from openhands_reference_server import ReferenceServer
from openhands_reference_server.front import Frontage
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.socketio_server import Wsgi

APP, AGENT = "app", "agent"
CONVERSATION = r"/api/conversations/[^/]+"


@dataclass
class Reply:
    """An answer of the reference server on its way to the client.

    Attributes:
        sent: the body of the request.
        memory: kept between the answers of one server.
    """

    request: Request
    status: int
    headers: Headers
    body: bytes
    sent: bytes
    memory: dict[str, Any]

    @cached_property
    def json(self) -> Any:
        """The body; changes to it are sent. None when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def is_ok(self) -> bool:
        return 200 <= self.status < 300

    def answer(self, status: int, body: Any = None) -> None:
        """Answer something else."""
        self.status = status
        self.__dict__["json"] = body
        self.headers["Content-Type"] = "application/json"

    def text(self, status: int, body: str, content_type: str) -> None:
        """Answer something that is not JSON."""
        self.status, self.body = status, body.encode()
        self.__dict__.pop("json", None)
        self.headers["Content-Type"] = content_type

    def finished(self) -> bytes:
        """The body as it is sent."""
        changed = self.__dict__.get("json")
        return self.body if changed is None else json.dumps(changed).encode()


Change = Callable[[Reply], None]
Distortion = Callable[[dict[str, Any]], None]
Surgery = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Mutant:
    """A server with one fault.

    Attributes:
        name: short, unique, and never used for another fault.
        sentence: what is wrong with it.
        requirements: ids, or patterns such as `V0-LIST-*`; one of them has to be named.
        protected: whether it is judged with a key that the app server wants.
        two_users: whether it is judged with the keys of two users.
        elsewhere: whether the checks of what it breaks ask for something else, so that only a whole run shows it.
    """

    name: str
    sentence: str
    requirements: tuple[str, ...]
    server: str = APP
    methods: frozenset[str] = frozenset()
    path: re.Pattern[str] = re.compile("")
    change: Change | None = None
    distort: Distortion | None = None
    surgery: Surgery | None = None
    protected: bool = False
    two_users: bool = False
    elsewhere: bool = False
    dialect: Dialect = "docs"
    options: dict[str, Any] = field(default_factory=dict)

    def is_about(self, environ: dict[str, Any]) -> bool:
        """Does a request concern it?"""
        return (not self.methods or environ["REQUEST_METHOD"] in self.methods) and self.path.fullmatch(
            environ["PATH_INFO"]
        ) is not None


MUTANTS: dict[str, Mutant] = {}


def _register(mutant: Mutant) -> None:
    if mutant.name in MUTANTS:
        raise ValueError(f"there are two mutants called {mutant.name}")
    MUTANTS[mutant.name] = mutant


def on(
    operation: str, sentence: str, *requirements: str, server: str = APP, **more: Any
) -> Callable[[Change], Change]:
    """Register what changes the answers of an operation, such as `GET /api/conversations`.

    The path is a pattern; several methods are separated by `|`, and `*` stands for all.
    """

    def register(change: Change) -> Change:
        _register(
            Mutant(
                _name(change), sentence, requirements, server, *_operation(operation), change=change, **more
            )
        )
        return change

    return register


def before(
    operation: str, sentence: str, *requirements: str, server: str = APP, **more: Any
) -> Callable[[Distortion], Distortion]:
    """Register what changes the requests of an operation before the reference server sees them."""

    def register(distort: Distortion) -> Distortion:
        _register(
            Mutant(
                _name(distort),
                sentence,
                requirements,
                server,
                *_operation(operation),
                distort=distort,
                **more,
            )
        )
        return distort

    return register


def inside(sentence: str, *requirements: str, **more: Any) -> Callable[[Surgery], Surgery]:
    """Register a context manager within which the server is another inside."""

    def register(surgery: Callable[[], Iterator[object]]) -> Surgery:
        managed = contextmanager(surgery)
        _register(Mutant(_name(surgery), sentence, requirements, surgery=managed, **more))
        return managed

    return register  # type: ignore[return-value]  # a generator function goes in, as with contextmanager


def _name(function: Callable[..., Any]) -> str:
    return function.__name__.replace("_", "-")


def _operation(operation: str) -> tuple[frozenset[str], re.Pattern[str]]:
    methods, _, path = operation.partition(" ")
    return frozenset() if methods == "*" else frozenset(methods.split("|")), re.compile(path)


class MutantServer(ReferenceServer):
    """A reference server with a fault."""

    def __init__(self, mutant: Mutant, **options: Any) -> None:
        options = {"max_concurrent_conversations": 1000, "dialect": mutant.dialect} | mutant.options | options
        super().__init__(**options)
        self._mutant = mutant
        self._surgery = ExitStack()

    def _open_front(self, address: AgentAddress) -> Frontage:
        front = super()._open_front(address)
        if self._mutant.server == APP:
            front.app_server = self._wrapped(front.app_server)
        else:
            front.agent_server = self._wrapped(front.agent_server)
        return front

    def start(self) -> MutantServer:
        """Operate, then serve."""
        if self._mutant.surgery is not None:
            self._surgery.enter_context(self._mutant.surgery())
        super().start()
        return self

    def stop(self) -> None:
        """Serve no more, then heal."""
        super().stop()
        self._surgery.close()

    def _wrapped(self, application: Wsgi) -> Wsgi:
        mutant, memory = self._mutant, dict[str, Any]()

        def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if not mutant.is_about(environ):
                return application(environ, start_response)
            if mutant.distort is not None:
                mutant.distort(environ)
            if mutant.change is None or environ.get("HTTP_UPGRADE"):
                return application(environ, start_response)
            return _changed(mutant.change, application, environ, start_response, memory)

        return serve


def _changed(
    change: Change,
    application: Wsgi,
    environ: dict[str, Any],
    start_response: Callable[..., Any],
    memory: dict[str, Any],
) -> Iterable[bytes]:
    sent = sent_with(environ)
    parts, status, headers = run_wsgi_app(application, environ, buffered=True)
    body = b"".join(parts)
    reply = Reply(Request(environ), int(status.split()[0]), headers, body, sent, memory)
    change(reply)
    content = reply.finished()
    if environ["REQUEST_METHOD"] != "HEAD" and "Content-Length" in reply.headers:
        reply.headers["Content-Length"] = str(len(content))
    start_response(f"{reply.status} Mutated", list(reply.headers.items()))
    return [content]


def sent_with(environ: dict[str, Any]) -> bytes:
    """The body of a request, which can still be read."""
    data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(data)
    return bytes(data)


def send_with(environ: dict[str, Any], data: bytes) -> None:
    """Give a request another body."""
    environ["wsgi.input"] = io.BytesIO(data)
    environ["CONTENT_LENGTH"] = str(len(data))


def set_query(environ: dict[str, Any], **values: str | None) -> None:
    """Change parameters in the query of a request; None takes one away."""
    query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
    query |= {name: value for name, value in values.items() if value is not None}
    for name in [name for name, value in values.items() if value is None]:
        query.pop(name, None)
    environ["QUERY_STRING"] = urlencode(query)


def items_of(body: Any) -> list[Any]:
    """The items of a page, whatever they are called."""
    if isinstance(body, dict):
        return next((body[name] for name in ("results", "items", "events") if name in body), [])
    return body if isinstance(body, list) else []
