"""Lets Schemathesis generate requests from the documents, and tells its findings as verdicts on requirements."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

from openhands_contract.catalogue import Profile, Requirement
from openhands_contract.exchange import Exchange
from openhands_contract.generating.drive import Driven, Failure, Operation, Settings, Target, drive
from openhands_contract.lab import UNREADABLE, Lab
from openhands_contract.lab.bench import Bench
from openhands_contract.lab.settings import SETTINGS, has_keys, restoring
from openhands_contract.lab.site import KEY_HEADER
from openhands_contract.lab.wire import Interrupted
from openhands_contract.outcome import CannotRun, Evidence, Outcome, Result, Stopped

# Which requirement a failure of Schemathesis is about, by the name of its class.
_REQUIREMENTS: Mapping[str, str] = {
    "ServerError": "GEN-ANSWERS-01",
    "ContentTypeServerError": "GEN-ANSWERS-01",
    "UndefinedStatusCode": "GEN-ANSWERS-02",
    "UndefinedContentType": "GEN-ANSWERS-03",
    "MissingContentType": "GEN-ANSWERS-03",
    "MalformedMediaType": "GEN-ANSWERS-03",
    "MalformedJson": "GEN-ANSWERS-03",
    "ContentDeserializationError": "GEN-ANSWERS-03",
    "JsonSchemaError": "GEN-ANSWERS-04",
    "DiscriminatorMismatch": "GEN-ANSWERS-04",
    "MissingHeaders": "GEN-ANSWERS-05",
    "NoAnswer": "GEN-ANSWERS-06",
    "AcceptedNegativeData": "GEN-INPUT-01",
    "MissingHeaderNotRejected": "GEN-INPUT-01",
    "RejectedPositiveData": "GEN-INPUT-02",
    "UnsupportedMethodResponse": "GEN-METHODS-01",
    "AllowHeaderMismatch": "GEN-METHODS-01",
    "IgnoredAuth": "GEN-KEYS-01",
    "ObjectLevelAuthorizationViolation": "GEN-KEYS-01",
    "UseAfterFree": "GEN-RESOURCES-01",
    "EnsureResourceAvailability": "GEN-RESOURCES-02",
}
# A new check of a later Schemathesis is most likely one more about the shape of answers.
_OTHERWISE = "GEN-ANSWERS-04"
REQUIREMENTS: frozenset[str] = frozenset(_REQUIREMENTS.values())

_APP_TAGS: Mapping[Profile, frozenset[str]] = {
    Profile.V0: frozenset({"v0-conversations", "v0-events", "v0-workspace", "feedback", "settings", "meta"}),
    Profile.V1: frozenset(
        {"app-conversations", "start-tasks", "events", "sandboxes", "users", "webhooks", "meta"}
    ),
    Profile.ALL: frozenset(),
}
_STORE_SETTINGS = "storeSettings"
_STARTING = ("startAppConversation", "streamStartAppConversation", "startSandbox")
_SLOW_START = 2.0  # seconds
_NAMING_SECRETS = ("createSecret", "updateSecret")


@dataclass(slots=True)
class Finding:
    """What was found about one requirement, over all documents that were driven."""

    evidence: list[Evidence] = field(default_factory=list)
    requests: int = 0
    obstacles: list[str] = field(default_factory=list)

    def result(self, requirement: Requirement) -> Result:
        """The verdict that follows."""
        if self.evidence:
            return Result(requirement, Outcome.FAILED, evidence=tuple(self.evidence), judged=self.requests)
        if self.obstacles or not self.requests:
            reason = "; ".join(self.obstacles) or "nothing was generated"
            return Result(requirement, Outcome.NOT_REACHED, reason, judged=self.requests)
        return Result(requirement, Outcome.PASSED, judged=self.requests)


def failures_of(requirement: str) -> list[str]:
    """The names of the failures that count against a requirement."""
    return [kind for kind, name in _REQUIREMENTS.items() if name == requirement]


def run(lab: Lab, settings: Settings) -> Mapping[str, Finding]:
    """Drive the documents of the profile, and return what was found by requirement.

    Raises:
        KeyboardInterrupt: the user wants it to end.
    """
    findings = {name: Finding() for name in REQUIREMENTS}
    if lab.site.profile in _APP_TAGS:
        _add(findings, drive(_app_target(lab), settings, _Watcher(lab)))
    if lab.site.profile in (Profile.AGENT, Profile.ALL) and not lab.gone:
        bench = Bench(lab)
        try:
            target = _agent_target(bench)
        except (Stopped, *UNREADABLE) as reason:
            for finding in findings.values():
                finding.obstacles.append(f"the agent server: {reason}")
        else:
            _add(findings, drive(target, settings, _WatcherOfOneSandbox(lab)))
        bench.clear()
    if lab.gone:
        for finding in findings.values():
            finding.obstacles.append(lab.gone)
    return findings


def _app_target(lab: Lab) -> Target:
    site = lab.site
    return Target(
        "app-server",
        site.url.rstrip("/"),
        site.dialect,
        dict(lab.access.headers),
        tags=_APP_TAGS[site.profile],
        without=_untouchable(lab),
        timeout=site.timeout,
    )


def _untouchable(lab: Lab) -> Collection[str]:
    """Operations that are left alone, because of what generated requests would do with them."""
    return [*_settings_with_keys(lab), *_secrets_of_any_name(lab), *_slow_starts(lab)]


def _settings_with_keys(lab: Lab) -> Collection[str]:
    """Settings are put back at the end; where they would replace a key, they could not be."""
    if not lab.app_document.has(_STORE_SETTINGS):
        return ()
    try:
        answered = lab.wire().send("GET", SETTINGS).json()
    except ValueError:
        answered = None
    stored = answered if isinstance(answered, dict) else {}
    if has_keys(stored):
        return (_STORE_SETTINGS,)
    body = restoring(stored, lab.app_document)
    lab.at_the_end(lambda: lab.wire().send("POST", SETTINGS, json=body))
    return ()


def _secrets_of_any_name(lab: Lab) -> Collection[str]:
    """Where any text names a secret, some have names that no path can have, and could not be deleted."""
    names = lab.app_document.content["components"]["schemas"].get("SecretName", {})
    return () if "pattern" in names else _NAMING_SECRETS


def _slow_starts(lab: Lab) -> Collection[str]:
    """Where a sandbox takes long to start, the hundreds of generated ones would take hours."""
    if lab.site.profile is Profile.V0 or not lab.app_document.has(_STARTING[0]):
        return ()
    bench = Bench(lab)
    began = time.monotonic()
    with suppress(Stopped, Interrupted, *UNREADABLE):
        bench.v1.new()
    took = time.monotonic() - began
    bench.clear()
    if took < _SLOW_START:
        return ()
    lab.remarks.append(f"a sandbox takes {took:.0f} s to start, so no generated requests started any")
    return _STARTING


def _agent_target(bench: Bench) -> Target:
    site = bench.lab.site
    started = bench.v1.new(
        initial_message={"role": "user", "content": [{"type": "text", "text": "Say hello."}]}
    )
    bench.v1.await_rest(started)
    events = [event["id"] for event in bench.v1.events(started)]
    known = {"conversation_id": [started.dashed], **({"event_id": events} if events else {})}
    return Target(
        "agent-server",
        started.origin,
        site.dialect,
        {KEY_HEADER: started.key},
        known=known,
        timeout=site.timeout,
    )


class _Watcher:
    """Shows the lab what is generated, and keeps its hands off what the run has not made."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._needed = lab.ledger.things()

    def between(self) -> None:
        with suppress(Interrupted, CannotRun):
            self._lab.make_room(self._needed)

    def before(self) -> None:
        with suppress(Interrupted):  # should_stop says so, too
            self._lab.traffic.pacer.wait(self._lab.traffic.cancelled)

    def spare(self, identifier: str) -> str | None:
        return uuid.uuid4().hex if self._lab.ledger.is_foreign(identifier) else None

    def after(self, exchange: Exchange) -> None:
        # Without the header it is not the pace that is refused, but one thing too many.
        if exchange.status == HTTPStatus.TOO_MANY_REQUESTS and "retry-after" in exchange.headers:
            self._lab.traffic.pacer.refused(exchange.headers["retry-after"])
        self._lab.seen(exchange)

    def should_stop(self) -> bool:
        return self._lab.gone is not None or self._lab.traffic.cancelled.is_set()


class _WatcherOfOneSandbox(_Watcher):
    """There, everything is in the sandbox that is judged, and would go with it."""

    def between(self) -> None:
        return


def _add(findings: Mapping[str, Finding], driven: Driven) -> None:
    requests = sum(result.requests for result in driven.results)
    for finding in findings.values():
        finding.requests += requests
        finding.obstacles += driven.errors
    for requirement, evidence in _evidence(driven):
        findings[requirement].evidence.append(evidence)


def _evidence(driven: Driven) -> Iterator[tuple[str, Evidence]]:
    for result in driven.results:
        for failure in result.failures.values():
            requirement = _REQUIREMENTS.get(failure.kind, _OTHERWISE)
            yield requirement, _told(result.operation, failure)


def _told(operation: Operation, failure: Failure) -> Evidence:
    seen = f"{failure.times} times" if failure.times > 1 else "once"
    return Evidence(
        expected=f"what the document says of {operation.id} ({operation.label})",
        found=f"{failure.title} ({', '.join(sorted(failure.phases))}; {seen}): {failure.message}",
        request=failure.commands[-1] if failure.commands else "",
        answer=failure.answer,
        steps=tuple(failure.commands[:-1]),
        operation=operation.id,
    )
