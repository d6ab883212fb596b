"""What a run was given: addresses, keys, dialect. And the first questions: is anybody there, and does the key fit?"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from openhands_contract.catalogue import Profile
from openhands_contract.documents import Dialect
from openhands_contract.exchange import Exchange
from openhands_contract.lab.wire import Traffic, Wire
from openhands_contract.outcome import CannotRun, Skipped
from openhands_contract.redaction import Redactor
from openhands_contract.shortening import shortened_body

KEY_HEADER = "X-Session-API-Key"
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_PROBES: Mapping[Dialect, str] = {
    "docs": "/api/conversations?limit=1",
    "openhands-1.0": "/api/conversations?limit=1",
    "openhands-1.11": "/api/v1/app-conversations/count",
}

# What no server answers alike: health, what there is, and what there is not.
_DIFFERENT = ("/alive", "/server_info", "/api/no-such-thing")
_MOST_SAID = 200
_ATTEMPTS = 10


@dataclass(frozen=True)
class Site:
    """Where the server under judgement is, and what opens it.

    Attributes:
        url: the app server.
        agent_url: the agent server, when its own idea of that does not work from here.
        api_key: the key of the user who asks.
        second_api_key: that of another user, whom nothing of the first may concern.
        timeout: seconds any answer may take.
    """

    url: str
    agent_url: str | None = None
    profile: Profile = Profile.ALL
    dialect: Dialect = "docs"
    api_key: str | None = field(default=None, repr=False)
    second_api_key: str | None = field(default=None, repr=False)
    timeout: float = 15.0

    def __post_init__(self) -> None:
        for address in (self.url, self.agent_url):
            if address is not None and urlsplit(address).scheme not in ("http", "https"):
                raise CannotRun(f"{address} is no address: it must begin with http:// or https://")

    def redactor(self) -> Redactor:
        """What takes the keys that were given out of all texts."""
        redact = Redactor()
        redact.learn(self.api_key, "$OPENHANDS_API_KEY")
        redact.learn(self.second_api_key, "$OPENHANDS_SECOND_API_KEY")
        return redact

    def agent_origin(self, conversation_url: str) -> str:
        """Where to send requests for an agent server that a server names.

        Raises:
            Skipped: it names a host that the run was not given; nothing is sent there.
        """
        if self.agent_url is not None:
            return self.agent_url.rstrip("/")
        parts = urlsplit(conversation_url)
        ours = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not _same_host(parts.hostname, ours.hostname):
            raise Skipped(
                f"the agent server is said to be at {parts.scheme}://{parts.netloc}, which is not the host that was"
                " given; allow it with --agent-url"
            )
        prefix, _, _ = parts.path.partition("/api/conversations/")
        return f"{parts.scheme}://{parts.netloc}{prefix}"


@dataclass(frozen=True)
class Access:
    """How a key is presented: found out by trying."""

    key: str | None = field(repr=False)
    bearer: bool = False

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of a request by this user."""
        return self.headers_with(self.key)

    def headers_with(self, key: str | None) -> Mapping[str, str]:
        """The headers another key would be sent in."""
        if not key:
            return {}
        return {"Authorization": f"Bearer {key}"} if self.bearer else {KEY_HEADER: key}


def enter(site: Site, traffic: Traffic) -> Access:
    """Find out whether there is a server that lets us in.

    Raises:
        CannotRun: nobody answers, it is no HTTP server, or the key does not fit.
    """
    with_key = [Access(site.api_key), Access(site.api_key, bearer=True)] if site.api_key else [Access(None)]
    status = 0
    for access in with_key:
        wire = Wire("app-server", site.url, access.headers, traffic)
        try:
            answer = _first_answer(wire, site, traffic)
        finally:
            wire.close()
        if not answer.answered:
            raise CannotRun(
                f"no answer from {site.url} ({answer.failure}). Is the server running, and is this its address? "
                "A reference server is started with: openhands-reference-server serve"
            )
        status = answer.status
        if status not in _REFUSED:
            return access
    given = "another key than the one given with" if site.api_key else "a key; give it with"
    raise CannotRun(f"{site.url} wants {given} --api-key (it answered {status})")


def _first_answer(wire: Wire, site: Site, traffic: Traffic) -> Exchange:
    """The answer to the first question.

    Raises:
        CannotRun: the server has no time for us, or says the same whatever it is asked.
    """
    answer = _heard(wire, _PROBES[site.dialect], traffic)
    if answer.status not in _REFUSED and answer.answered:
        others = [_heard(wire, place, traffic) for place in _DIFFERENT]
        if all((one.status, one.body) == (answer.status, answer.body) for one in others):
            said = shortened_body(answer.body, _MOST_SAID) or "without a body"
            raise CannotRun(
                f"{site.url} gives the same answer whatever is asked ({answer.status} {answer.content_type}: {said}). "
                "That is not this API; is it the address of something else, such as a web page or a gateway?"
            )
    return answer


def _heard(wire: Wire, place: str, traffic: Traffic) -> Exchange:
    """The answer to a question, which a server that is asked too much may put off a few times."""
    answer = wire.send("GET", place, retry_refused=False)
    for _ in range(_ATTEMPTS):
        if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
            return answer
        if not traffic.pacer.refused(answer.headers.get("retry-after")):
            break
        answer = wire.send("GET", place, retry_refused=False)
    raise CannotRun(
        f"{wire.url} refuses even the first requests with 429"
        f" (Retry-After: {answer.headers.get('retry-after', 'missing')}). Try again later"
    )


def _same_host(first: str | None, second: str | None) -> bool:
    return first == second or (_is_loopback(first) and _is_loopback(second))


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
