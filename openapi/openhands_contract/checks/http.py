"""HTTP itself: methods, bodies, errors, limits. Most of it is seen in passing, in every answer there is."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.parse import urlsplit

from openhands_contract.checks import checks
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.v0 import path, unknown_id
from openhands_contract.lab.v1 import CONVERSATIONS
from openhands_contract.observing import Complaint, Sight, observes
from openhands_contract.outcome import Skipped

_TRACE = re.compile(
    r'Traceback \(most recent call last\)|File "[^"]+\.py", line \d+|/site-packages/'
    r"|\bat [\w.$]+\([\w.]+\.(?:java|js|ts):\d+"
)
_PLACES = frozenset({"path", "query", "header", "body"})
_BURST = 40
_MANY = 100


def _error(sight: Sight) -> bool:
    return sight.exchange.status >= HTTPStatus.BAD_REQUEST


def _answered(sight: Sight) -> bool:
    return sight.exchange.answered


@observes("HTTP-ERRORS-01", when=lambda sight: _error(sight) and sight.exchange.method != "HEAD")
def errors_are_json(sight: Sight) -> Complaint:
    """Reads the body of every error."""
    exchange = sight.exchange
    if exchange.content_type != "application/json":
        return (
            f"the {exchange.status} is {exchange.content_type or 'of no content type'}, not application/json"
        )
    try:
        exchange.json()
    except ValueError:
        return f"the body of the {exchange.status} is not JSON"
    return None


@observes("HTTP-ERRORS-02", when=_error)
def no_traces(sight: Sight) -> Complaint:
    """Looks for traces of the server's program in every error."""
    found = _TRACE.search(sight.exchange.text)
    return f"the answer tells of the server's program: {found.group()!r}" if found else None


@observes("HTTP-ERRORS-04", when=lambda sight: sight.exchange.status == HTTPStatus.UNPROCESSABLE_ENTITY)
def places(sight: Sight) -> Complaint:
    """Reads the items of every 422."""
    try:
        items = sight.exchange.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return "the answer has no `detail`"
    if not isinstance(items, list) or not items:
        return "`detail` is no list of reasons"
    for item in items:
        where = item.get("loc") if isinstance(item, dict) else None
        if not isinstance(where, list) or not where or where[0] not in _PLACES:
            return f"a reason has no place that begins with path, query, header or body: {json.dumps(item)[:200]}"
        if not item.get("type") or not item.get("msg"):
            return f"a reason has no `type` or no `msg`: {json.dumps(item)[:200]}"
    return None


@observes("HTTP-ERRORS-05", when=_answered)
def no_server_errors(sight: Sight) -> Complaint:
    """Looks at the status of every answer."""
    status = sight.exchange.status
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    if status == HTTPStatus.SERVICE_UNAVAILABLE and sight.operation:
        return (
            None
            if str(int(status)) in sight.operation.described["responses"]
            else "503 is not documented here"
        )
    return f"the status is {status}"


@observes(
    "HTTP-BODIES-01", when=lambda sight: _answered(sight) and sight.exchange.content_type.endswith("json")
)
def json_is_utf8(sight: Sight) -> Complaint:
    """Decodes every JSON body."""
    try:
        sight.exchange.body.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"the body is not UTF-8: {error}"
    charset = re.search(r"charset=([^;]+)", sight.exchange.headers["content-type"].lower())
    if charset and charset.group(1).strip(' "') not in ("utf-8", "utf8"):
        return f"the charset is {charset.group(1)}, not UTF-8"
    return None


def _has_length(sight: Sight) -> bool:
    headers = sight.exchange.headers
    return _answered(sight) and "content-length" in headers and "content-encoding" not in headers


@observes("HTTP-BODIES-02", when=lambda sight: _has_length(sight) and sight.exchange.method != "HEAD")
def lengths(sight: Sight) -> Complaint:
    """Compares the length of every body with what the header says."""
    said, found = sight.exchange.headers["content-length"], len(sight.exchange.body)
    return None if said == str(found) else f"`Content-Length` is {said}, the body has {found} bytes"


def _lives(sight: Sight) -> bool:
    """Not so the agent server of a sandbox that is paused or gone, which takes no connections."""
    refused = (sight.exchange.failure or "").startswith("ConnectError")
    return sight.document.name == "app-server" or (sight.document.name == "agent-server" and not refused)


@observes("HTTP-BODIES-03", when=_lives)
def is_answered(sight: Sight) -> Complaint:
    """Waits for the answer to every request."""
    return None if sight.exchange.answered else f"no answer: {sight.exchange.failure}"


@observes("HTTP-LIMITS-01", when=lambda sight: sight.exchange.status == HTTPStatus.TOO_MANY_REQUESTS)
def too_many(sight: Sight) -> Complaint:
    """Reads every 429."""
    if not sight.exchange.headers.get("retry-after", "").isdigit():
        return f"`Retry-After` is {sight.exchange.headers.get('retry-after')!r}, not whole seconds"
    try:
        message = sight.exchange.json().get("message")
    except (ValueError, AttributeError):
        return "the body is no JSON object"
    return None if message else "there is no `message`"


@observes("HTTP-REDIRECTS-01", when=_answered)
def stays_here(sight: Sight) -> Complaint:
    """Looks where every answer leads."""
    location = urlsplit(sight.exchange.headers.get("location", ""))
    host = urlsplit(sight.exchange.url).hostname
    if location.hostname and location.hostname != host:
        return f"`Location` leads to {location.hostname}"
    return None


@observes("HTTP-METHODS-02", when=lambda sight: sight.exchange.status == HTTPStatus.METHOD_NOT_ALLOWED)
def allowed(sight: Sight) -> Complaint:
    """Compares `Allow` of every 405 with the methods the document has for the path."""
    methods = sight.document.methods(sight.exchange.path)
    named = {method.strip().upper() for method in sight.exchange.headers.get("allow", "").split(",")} - {""}
    if not named:
        return "`Allow` is missing"
    if methods is None:
        return None
    wrong = (named - {"HEAD", "OPTIONS"}) ^ methods
    if wrong:
        return f"`Allow` is {', '.join(sorted(named))}; the path has {', '.join(sorted(methods))}"
    return f"`Allow` names {sight.exchange.method} itself" if sight.exchange.method in named else None


@checks("HTTP-METHODS-01")
def other_methods(bench: Bench) -> None:
    """Sends methods to paths that have others."""
    for method, place in (
        ("PUT", "/alive"),
        ("DELETE", "/api/v1/app-conversations/count"),
        ("PATCH", "/api/v1/app-conversations/search"),
        ("DELETE", "/server_info"),
    ):
        bench.app.request(method, place).must(405)
    if bench.lab.app_document.has("listConversations"):
        bench.app.put("/api/conversations", {}).must(405)
        bench.app.put(path(unknown_id()), {}).must(405)


@checks("HTTP-METHODS-03")
def heads(bench: Bench) -> None:
    """Sends HEAD to paths that have GET."""
    for place in ("/alive", "/health", "/api/v1/app-conversations/count"):
        answer = bench.app.request("HEAD", place).must(200, 405)
        answer.expect(answer.content == b"", "there is no body", len(answer.content))


@checks("HTTP-ERRORS-06")
def other_paths(bench: Bench) -> None:
    """Asks for paths that do not exist."""
    for place in ("/api/nonsense", "/api/v1/nonsense/at/all", "/api/v2/app-conversations"):
        bench.app.get(place).must(404).has(detail="Not Found")
        bench.app.post(place, {}).must(404, 405)


@checks("HTTP-BODIES-01")
def any_script(bench: Bench) -> None:
    """Sends texts in several scripts and reads them in the answer."""
    title = "Größe 会话 🚀"
    answer = bench.app.get(f"{CONVERSATIONS}/search", {"title__contains": title}).must(200)
    answer.expect(
        answer.headers.get("content-type", "").startswith("application/json"), "it is application/json"
    )


@checks("HTTP-BODIES-03")
def one_after_the_other(bench: Bench) -> None:
    """Sends many requests one after the other on a connection that is kept."""
    for _ in range(_MANY):
        if bench.lab.traffic.pacer.refusals:
            return  # it would take too long, and every other request of the run is watched, too
        answer = bench.app.get("/alive")
        answer.expect(answer.exchange.answered, "every request is answered", answer.exchange.failure)


@checks("HTTP-BODIES-04")
def after_refusals(bench: Bench) -> None:
    """Sends refused requests with bodies, each followed by one that is in order."""
    body = {"nonsense": "x" * 100_000}
    for refused in (
        bench.app.request("DELETE", "/alive", json=body),
        bench.app.post("/api/nonsense", body),
        bench.app.post(
            CONVERSATIONS, content=b"{" + b" " * 100_000, headers={"Content-Type": "application/json"}
        ),
    ):
        refused.expect(400 <= refused.status < 500, "the request is refused", refused.status)
        bench.app.get("/alive").must(200)
        count = bench.app.get(f"{CONVERSATIONS}/count").must(200)
        count.expect(isinstance(count.json, int), "the next request has its own answer", count.text)


@checks("HTTP-BODIES-05")
def unknown_parameters(bench: Bench) -> None:
    """Sends a query parameter that nobody knows."""
    bench.app.get("/alive", {"colour": "blue"}).must(200)
    bench.app.get(f"{CONVERSATIONS}/search", {"limit": 1, "colour": "blue"}).must(200)


@checks("HTTP-BODIES-06")
def no_encoding(bench: Bench) -> None:
    """Lists conversations and accepts no content encoding."""
    answer = bench.app.get(f"{CONVERSATIONS}/search", headers={"Accept-Encoding": "identity"}).must(200)
    coding = answer.headers.get("content-encoding", "identity")
    answer.expect(coding == "identity", "the body is sent as it is", f"it is encoded as {coding}")


@checks("HTTP-LIMITS-02")
def waiting(bench: Bench) -> None:
    """Sends many requests at once until one is refused, waits as long as it says, and asks again."""
    refused = _provoked(bench)
    if not refused:
        raise Skipped(f"{_BURST} requests at once were all served; there seems to be no limit")
    seconds = max(float(answer.headers.get("retry-after") or 1) for answer in refused)
    bench.lab.pause(min(seconds, bench.lab.patience) + 0.1)
    bench.app.get("/alive", retry_refused=False).must(200)


def _provoked(bench: Bench) -> list[Answer]:
    with ThreadPoolExecutor(_BURST) as pool:
        answers = list(pool.map(lambda _: bench.app.get("/alive", retry_refused=False), range(_BURST)))
    return [answer for answer in answers if answer.status == HTTPStatus.TOO_MANY_REQUESTS]


@checks("HTTP-LIMITS-01")
def limits(bench: Bench) -> None:
    """Is skipped where no request of the run was refused."""
    if not bench.lab.traffic.pacer.refusals and not _provoked(bench):
        raise Skipped(f"{_BURST} requests at once were all served; there seems to be no limit")


@checks("META-01")
def meta(bench: Bench) -> None:
    """Asks twice for health and version."""
    bench.app.get("/alive").must(200).has(status="ok")
    bench.app.get("/health").must(200)
    first, second = (bench.app.get("/server_info").must(200).pick("uptime") for _ in range(2))
    bench.expect(0 <= first <= second, "`uptime` does not fall", [first, second])
