"""One JSON object per fact, as `recording.schema.json` describes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

from openhands_contract.traffic import (
    Answer,
    Body,
    Direction,
    Exchange,
    Fact,
    Frame,
    FrameKind,
    Request,
    Server,
    SocketOpened,
)

VERSION = 1


def line_of(fact: Fact) -> dict[str, Any]:
    """A fact as a line says it."""
    match fact:
        case Exchange():
            line: dict[str, Any] = {
                "type": "exchange",
                "number": fact.number,
                "server": fact.server.value,
                "at": fact.at,
                "seconds": round(fact.seconds, 6),
                "request": _request_line(fact.request),
                "answer": None if fact.answer is None else _answer_line(fact.answer),
            }
            return line | ({"error": fact.error} if fact.error else {})
        case SocketOpened():
            return {
                "type": "socket",
                "number": fact.number,
                "server": fact.server.value,
                "at": fact.at,
                "request": _request_line(fact.request),
                "answer": _answer_line(fact.answer),
            }
        case Frame():
            line = {
                "type": "frame",
                "socket": fact.socket,
                "direction": fact.direction.value,
                "kind": fact.kind,
                "after": round(fact.after, 6),
            }
            return line | ({"code": fact.code} if fact.code else {}) | _content(fact.data)


def fact_of(line: Mapping[str, Any]) -> Fact:
    """The fact that a line tells.

    Raises:
        KeyError, ValueError, TypeError: it tells none.
    """
    match line["type"]:
        case "exchange":
            answer = line["answer"]
            return Exchange(
                line["number"],
                Server(line["server"]),
                _request_of(line["request"]),
                None if answer is None else _answer_of(answer),
                line.get("error", ""),
                line["at"],
                line["seconds"],
            )
        case "socket":
            return SocketOpened(
                line["number"],
                Server(line["server"]),
                _request_of(line["request"]),
                _answer_of(line["answer"]),
                line["at"],
            )
        case "frame":
            return Frame(
                line["socket"],
                Direction(line["direction"]),
                cast(FrameKind, line["kind"]),
                _data_of(line),
                line.get("code", 0),
                line["after"],
            )
        case other:
            raise ValueError(f"there is no line of the type {other!r}")


def _request_line(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "target": request.target,
        "headers": [list(pair) for pair in request.headers],
        "body": _body_line(request.body),
    }


def _request_of(line: Mapping[str, Any]) -> Request:
    headers = tuple((name, value) for name, value in line["headers"])
    return Request(line["method"], line["target"], headers, _body_of(line["body"]))


def _answer_line(answer: Answer) -> dict[str, Any]:
    line: dict[str, Any] = {
        "status": answer.status,
        "headers": [list(pair) for pair in answer.headers],
        "body": _body_line(answer.body),
    }
    return line | ({"broken": True} if answer.broken else {})


def _answer_of(line: Mapping[str, Any]) -> Answer:
    headers = tuple((name, value) for name, value in line["headers"])
    return Answer(line["status"], headers, _body_of(line["body"]), line.get("broken", False))


def _body_line(body: Body) -> dict[str, Any]:
    cut = {} if body.is_whole else {"size": body.size}
    return _content(body.data) | cut


def _body_of(line: Mapping[str, Any]) -> Body:
    data = _data_of(line)
    return Body(data, line.get("size", len(data)))


def _content(data: bytes) -> dict[str, Any]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _data_of(line: Mapping[str, Any]) -> bytes:
    if "base64" in line:
        return base64.b64decode(line["base64"], validate=True)
    text: str = line["text"]
    return text.encode()
