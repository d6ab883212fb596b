"""The agent servers behind one port: which there are, and which of them a request is for.

Only what the app server itself has announced can be reached, so the proxy is never an open one. Clients use
just scheme and authority of a `conversation_url`, so the path cannot say whose a request is; the session key
and the conversation it names can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openhands_contract.traffic import Headers, header

_KEY_HEADER = "X-Session-API-Key"
_KEY_QUERY = "session_api_key"
_CONVERSATION = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}(?![0-9a-f])", re.I
)
_ANNOUNCING = re.compile(
    r"/api/(v1/(app-conversations|sandboxes)(/|$)|conversations(/[^/]+)?$|microagent-management/)"
)
_FIELDS = ("conversation_url", "agent_server_url", "url")


def announces(path: str) -> bool:
    """Do answers of the app server at this path say where agent servers are?

    Others only quote: what an agent says must not open a way to anywhere.
    """
    return _ANNOUNCING.search(path) is not None


def origin_of(url: str) -> str | None:
    """Scheme and authority; None for what is not an absolute HTTP address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    return f"{parts.scheme}://{parts.netloc}"


class AgentServers:
    """The agent servers that were announced so far."""

    def __init__(self) -> None:
        self._origins: dict[str, None] = {}
        self._by_key: dict[str, str] = {}
        self._by_conversation: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._origins)

    def announce(self, url: str, key: str | None = None) -> None:
        """Learn where an agent server is, whose conversation the address names, and which key opens it."""
        origin = origin_of(url)
        if origin is None:
            return
        self._origins.pop(origin, None)  # the latest one comes last
        self._origins[origin] = None
        if named := _conversation_in(urlsplit(url).path):
            self._by_conversation[named] = origin
        if key:
            self._by_key[key] = origin

    def learn_keys(self, body: bytes) -> None:
        """Learn from a JSON answer which key belongs to which of the announced addresses."""
        try:
            document = json.loads(body)
        except ValueError:
            return
        for item in _objects(document):
            key = item.get("session_api_key")
            url = next((item[name] for name in _FIELDS if isinstance(item.get(name), str)), None)
            if isinstance(key, str) and url is None:
                url = _agent_server_among(item.get("exposed_urls"))
            if isinstance(key, str) and url is not None and origin_of(url) in self._origins:
                self.announce(url, key)

    def is_known(self, url: str) -> bool:
        """Was the origin of this address announced?"""
        return origin_of(url) in self._origins

    def asked(self, target: str, headers: Headers) -> str | None:
        """The origin a request on the agent port is for; None as long as there is none."""
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        key = header(headers, _KEY_HEADER) or query.get(_KEY_QUERY, [""])[-1]
        if key in self._by_key:
            return self._by_key[key]
        named = _conversation_in(parts.path) or _conversation_in(query.get("conversation_id", [""])[-1])
        if named in self._by_conversation:
            return self._by_conversation[named]
        return next(reversed(self._origins), None)


def _conversation_in(text: str) -> str:
    """The conversation a path names, without dashes."""
    found = _CONVERSATION.search(text)
    return found.group().replace("-", "").lower() if found else ""


def _agent_server_among(urls: Any) -> str | None:
    for item in urls if isinstance(urls, list) else []:
        if isinstance(item, dict) and item.get("name") == "AGENT_SERVER" and isinstance(item.get("url"), str):
            return str(item["url"])
    return None


def _objects(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield document
        for value in document.values():
            yield from _objects(value)
    elif isinstance(document, list):
        for item in document:
            yield from _objects(item)
