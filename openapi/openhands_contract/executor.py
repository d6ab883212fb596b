"""Runs the checks of a selection, and gives each requirement exactly one verdict.

Areas run beside each other, the checks of an area one after the other, because they share conversations and a
server may allow only a few at a time. When all is done the observers are asked what they saw on the way, and
everything that was made is deleted; that also happens when the run is interrupted.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from openhands_contract.catalogue import Requirement, select
from openhands_contract.checks import Check, load_all
from openhands_contract.generating import generated
from openhands_contract.generating.drive import Settings
from openhands_contract.lab import UNREADABLE, Lab
from openhands_contract.lab.bench import Bench
from openhands_contract.lab.wire import Interrupted
from openhands_contract.observing import OBSERVERS, undocumented
from openhands_contract.outcome import Evidence, Failed, Outcome, Result, Skipped, Stopped

INTERRUPTED = "the run was interrupted"
# Areas whose checks keep V0 conversations running; servers run only a few at a time.
_ONE_AT_A_TIME = "v0"
_POLL = 0.2

Progress = Callable[[Result], None]


@dataclass
class _Tally:
    """What has come of one requirement so far."""

    outcome: Outcome = Outcome.PASSED
    reason: str = ""
    evidence: list[Evidence] = field(default_factory=list)
    seconds: float = 0.0
    judged: int = 0


def execute(
    lab: Lab,
    requirements: Sequence[Requirement],
    settings: Settings,
    told: Progress = lambda result: None,
) -> list[Result]:
    """Judge a server by these requirements, and return a result for each, in their order.

    Args:
        settings: how many areas are checked at the same time, and how much Schemathesis is to generate.
        told: is called with each result as soon as it is final.
    """
    run = _Run(lab, told)
    stirring = run.what_to_do_for([one for one in requirements if lab.site.dialect in one.dialects])
    try:
        run.scenarios(stirring, settings.workers)
        run.generate(stirring, settings)
    except KeyboardInterrupt:
        run.interrupt()
    run.conclude(requirements)
    return [run.results[requirement.id] for requirement in requirements]


class _Run:
    def __init__(self, lab: Lab, told: Progress) -> None:
        self._lab = lab
        self._told = told
        self._checks = load_all()
        self._observed = {observer.requirement for observer in OBSERVERS}
        self.results: dict[str, Result] = {}
        self._generated: Mapping[str, generated.Finding] = {}

    def what_to_do_for(self, requirements: Sequence[Requirement]) -> Sequence[Requirement]:
        """The requirements whose checks have to run: all of them where observers would see nothing otherwise."""
        tested = self._checks.keys() | generated.REQUIREMENTS
        if not requirements or any(requirement.id in tested for requirement in requirements):
            return requirements
        site = self._lab.site
        return [requirement for requirement in select(site.profile) if site.dialect in requirement.dialects]

    def scenarios(self, requirements: Iterable[Requirement], workers: int) -> None:
        """Run all checks that are functions."""
        lanes: dict[str, list[Requirement]] = {}
        for requirement in requirements:
            if requirement.id in self._checks:
                lanes.setdefault(_lane(requirement), []).append(requirement)
        with ThreadPoolExecutor(workers, thread_name_prefix="checks") as pool:
            futures = [
                pool.submit(self._lane, lane) for lane in sorted(lanes.values(), key=len, reverse=True)
            ]
            try:
                _await(futures)
            except KeyboardInterrupt:
                self.interrupt()
            for future in futures:
                future.result()

    def interrupt(self) -> None:
        """Let everything that is under way come to its end quickly."""
        self._lab.interrupt()

    def generate(self, requirements: Sequence[Requirement], settings: Settings) -> None:
        """Let Schemathesis loose, when requirements ask for what it finds."""
        wanted = [one for one in requirements if one.id in generated.REQUIREMENTS]
        if not wanted or self._lab.interrupted or self._lab.gone:
            return
        self._generated = generated.run(self._lab, settings)

    def conclude(self, requirements: Sequence[Requirement]) -> None:
        """Give a verdict to every requirement that has none yet."""
        observed = self._lab.observations.evidence()
        for requirement in requirements:
            known = self.results.get(requirement.id)
            result = self._add_observations(known or self._without_checks(requirement), observed)
            self.results[requirement.id] = result
            if result is not known:
                self._told(result)

    def _lane(self, requirements: Iterable[Requirement]) -> None:
        for requirement in requirements:
            result = self._judge(requirement)
            self.results[requirement.id] = result
            if requirement.id not in self._observed:
                self._told(result)

    def _judge(self, requirement: Requirement) -> Result:
        tally = _Tally()
        started = time.monotonic()
        for check in self._checks[requirement.id]:
            self._run_one(check, tally)
        tally.seconds = time.monotonic() - started
        return Result(
            requirement, tally.outcome, tally.reason, tuple(tally.evidence), tally.seconds, tally.judged
        )

    def _run_one(self, check: Check, tally: _Tally) -> None:
        bench = Bench(self._lab)
        try:
            self._lab.ensure_alive()
            check.function(bench)
            tally.judged += 1
        except Failed as failure:
            tally.judged += 1
            tally.evidence.append(failure.evidence)
            _worsen(tally, Outcome.FAILED, "")
        except Skipped as reason:
            _worsen(tally, Outcome.SKIPPED, str(reason))
        except Stopped as reason:
            _worsen(tally, Outcome.NOT_REACHED, self._why(str(reason)))
        except Interrupted:
            _worsen(tally, Outcome.NOT_REACHED, INTERRUPTED)
        except UNREADABLE as error:
            self._blame(bench, error, tally)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the kit's fault and must not end the run
            _worsen(tally, Outcome.ENGINE_ERROR, told_briefly(error))
        finally:
            self._clear(bench)

    def _why(self, reason: str) -> str:
        """An unanswered request may be the first sign of a server that has died."""
        if "gave no answer" in reason and not self._lab.is_still_there():
            return self._lab.gone or reason
        return reason

    def _blame(self, bench: Bench, error: Exception, tally: _Tally) -> None:
        """A check stumbled over data: its own fault, unless the server's answers are not as documented."""
        complaint = undocumented(bench.trail.exchanges, self._lab.site.dialect)
        if complaint is None:
            _worsen(tally, Outcome.ENGINE_ERROR, told_briefly(error))
        else:
            _worsen(tally, Outcome.NOT_REACHED, f"an answer could not be read: {complaint}")

    def _clear(self, bench: Bench) -> None:
        try:
            bench.clear()
        except Interrupted:
            return

    def _without_checks(self, requirement: Requirement) -> Result:
        if self._lab.site.dialect not in requirement.dialects:
            reason = f"does not hold in the dialect {self._lab.site.dialect}"
            return Result(requirement, Outcome.UNSUPPORTED, reason)
        finding = self._generated.get(requirement.id)
        if finding is not None:
            return finding.result(requirement)
        if requirement.id in self._observed:
            looks = self._lab.observations.looks[requirement.id]
            if looks:
                return Result(requirement, Outcome.PASSED, judged=looks)
            return Result(requirement, Outcome.NOT_REACHED, self._stop_reason("no such answer was seen"))
        if requirement.id in generated.REQUIREMENTS:
            reason = self._stop_reason("nothing was generated in this run")
            outcome = Outcome.NOT_REACHED if self._lab.interrupted or self._lab.gone else Outcome.SKIPPED
            return Result(requirement, outcome, reason)
        return Result(requirement, Outcome.NOT_REACHED, self._stop_reason("it has no check"))

    def _stop_reason(self, otherwise: str) -> str:
        return INTERRUPTED if self._lab.interrupted else (self._lab.gone or otherwise)

    def _add_observations(self, result: Result, observed: Mapping[str, tuple[Evidence, ...]]) -> Result:
        seen = observed.get(result.requirement.id, ())
        if result.outcome is Outcome.UNSUPPORTED:
            return result
        if self._lab.gone is not None and result.requirement.id == _ANSWERS_WHILE_IT_LIVES:
            return replace(result, outcome=Outcome.NOT_REACHED, reason=self._lab.gone, evidence=())
        if not seen:
            return result
        return replace(result, outcome=Outcome.FAILED, reason="", evidence=(*result.evidence, *seen))


_ANSWERS_WHILE_IT_LIVES = "HTTP-BODIES-03"
_SEVERITY = (Outcome.PASSED, Outcome.SKIPPED, Outcome.NOT_REACHED, Outcome.ENGINE_ERROR, Outcome.FAILED)


def _worsen(tally: _Tally, outcome: Outcome, reason: str) -> None:
    """Of several checks of one requirement the worst result counts."""
    if _SEVERITY.index(outcome) > _SEVERITY.index(tally.outcome):
        tally.outcome, tally.reason = outcome, reason


def _lane(requirement: Requirement) -> str:
    """What runs one after the other."""
    name = requirement.area.name
    return _ONE_AT_A_TIME if name.startswith(_ONE_AT_A_TIME) else name


def _await(futures: Sequence[Future[None]]) -> None:
    """Wait in short turns, so that Ctrl-C is heard."""
    pending = set(futures)
    while pending:
        _, pending = wait(pending, timeout=_POLL)


def told_briefly(error: Exception) -> str:
    """What broke, and where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename.rpartition('/')[2]}:{frame.lineno})"
