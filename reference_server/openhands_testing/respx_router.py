"""Every operation of the API, answered by respx from the examples of the OpenAPI documents: no server, no socket.

    router = openhands_router()
    with router:
        router["getConversation"].respond(404, json={"detail": "gone"})
        ...

Routes are named by their `operationId`; those of the agent server have `agent.` in front.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import httpx
import respx

from openhands_contract import documents

APP_URL, AGENT_URL = "http://localhost:3000", "http://localhost:3001"
_METHODS = ("get", "put", "post", "delete", "patch")
_PREFIX: Mapping[documents.DocumentName, str] = {"app-server": "", "agent-server": "agent."}


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    method: str
    path: str
    answer: httpx.Response

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Paths without parameters go before those with: both match `…/search`."""
        return ("{" in self.path, self.path.count("{"), self.path)

    def pattern(self, url: str) -> str:
        """The URLs of this operation, as a regular expression; a parameter `{path}` holds slashes."""
        parts = re.split(r"\{(\w+)\}", self.path)
        texts = (re.escape(part) if index % 2 == 0 else _hole(part) for index, part in enumerate(parts))
        return f"^{re.escape(url.rstrip('/'))}{''.join(texts)}(\\?.*)?$"


def openhands_router(
    base_url: str = APP_URL,
    *,
    agent_url: str = AGENT_URL,
    dialect: documents.Dialect = "docs",
    assert_all_called: bool = False,
) -> respx.MockRouter:
    """A router with a route for each operation of both servers; use it as a context manager.

    Args:
        base_url: of the app server; the default is the default of the clients, too.
        agent_url: of the agent server; the examples of the app server lead there.
        dialect: whose documents the examples come from.
        assert_all_called: fail at the end if a route was not called.
    """
    router = respx.MockRouter(assert_all_called=assert_all_called)
    urls: dict[documents.DocumentName, str] = {"app-server": base_url, "agent-server": agent_url}
    for name in get_args(documents.DocumentName):
        for operation in sorted(_operations(name, dialect, urls), key=lambda one: one.rank):
            route = router.route(
                method=operation.method, url__regex=operation.pattern(urls[name]), name=operation.name
            )
            route.mock(side_effect=_always(operation.answer))
    return router


def _operations(
    name: documents.DocumentName, dialect: documents.Dialect, urls: Mapping[documents.DocumentName, str]
) -> Iterator[_Operation]:
    document = documents.load(name, dialect)
    for path, item in document["paths"].items():
        for method, described in item.items():
            if method in _METHODS:
                answer = _answer(document, described["responses"], urls)
                yield _Operation(_PREFIX[name] + described["operationId"], method.upper(), path, answer)


def _answer(
    document: Mapping[str, Any], responses: Mapping[str, Any], urls: Mapping[documents.DocumentName, str]
) -> httpx.Response:
    """The first good answer, with its example."""
    status = min(code for code in responses if code.startswith("2"))
    response = _resolved(document, responses[status])
    for media_type, media in response.get("content", {}).items():
        if media_type == "application/zip":
            return httpx.Response(int(status), content=_empty_zip(), headers={"Content-Type": media_type})
        if "json" in media_type:
            return httpx.Response(int(status), json=_leading_here(_example(document, media), urls))
        return httpx.Response(int(status), content=b"", headers={"Content-Type": media_type})
    return httpx.Response(int(status))


def _example(document: Mapping[str, Any], media: Mapping[str, Any]) -> Any:
    if "example" in media:
        return media["example"]
    first = next(iter(media["examples"].values()))
    return _resolved(document, first)["value"]


def _leading_here(example: Any, urls: Mapping[documents.DocumentName, str]) -> Any:
    """The example with the URLs of these servers in the place of those in the documents."""
    if isinstance(example, str):
        for documented, url in ((APP_URL, urls["app-server"]), (AGENT_URL, urls["agent-server"])):
            if example == documented or example.startswith(f"{documented}/"):
                return url.rstrip("/") + example.removeprefix(documented)
        return example
    if isinstance(example, list):
        return [_leading_here(item, urls) for item in example]
    if isinstance(example, dict):
        return {key: _leading_here(item, urls) for key, item in example.items()}
    return example


def _resolved(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def _hole(parameter: str) -> str:
    return ".*" if parameter == "path" else "[^/?]+"


def _always(answer: httpx.Response) -> Any:
    """A response of its own for each request: one that was read cannot be read again."""

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return respond


def _empty_zip() -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()
