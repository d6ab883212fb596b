"""Plays a scenario: the `Script` that does what a document says.

Which answer of a sequence comes next follows from the earlier messages of the conversation, so that
nothing is counted here: one scenario may be played by many servers at once, and goes on after a restart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openhands_reference_server.domain import script
from openhands_reference_server.domain.script import Act, Talk
from openhands_reference_server.domain.v1_events import text_of
from openhands_reference_server.scenarios import format as described
from openhands_reference_server.scenarios import templates
from openhands_reference_server.yaml_files import Part

Moments = Iterator[tuple[float, Act]]


class Scenario:
    """A scenario that was read; a `Script`.

    Args:
        document: what it says.
        folder: where the paths in it begin; none for those that are no files.
    """

    def __init__(self, document: described.ScenarioDocument, folder: Path | None = None) -> None:
        self.document = document
        self._repository = _found(document.repository, folder)

    def __repr__(self) -> str:
        return f"Scenario({self.document.title!r})"

    def start(self, request: Mapping[str, Any], number: int) -> Iterator[tuple[float, script.Stage]]:
        """The stages, with the delays and failures of the first start that applies."""
        values = _start_values(request, number)
        chosen = next((one for one in self.document.start if _applies(one.when, values)), described.Start())
        delay = _given(chosen, "delay", self.document.delay)
        stages: dict[str, described.Stage] = {str(name): stage for name, stage in chosen.stages.items()}
        for name in script.START_STAGES[1:]:
            stage = stages.get(name) or described.Stage()
            seconds = math.inf if stage.hang else _given(stage, "delay", delay)
            if stage.fail:
                yield seconds, script.StartFailure(templates.fill(stage.fail, values.__getitem__))
                return
            clones = name == script.PREPARING_REPOSITORY and self._repository
            yield seconds, script.Clone(self._repository) if clones else name

    def turn(self, message: str, number: int, talk: Talk) -> Moments:
        """The acts of the first rule that applies."""
        rule = self._rule(message, number)
        if rule is None:
            return ((self.document.delay, act) for act in script.echo_and_finish(message, number))
        values = {
            "message": message,
            "turn": str(number),
            "conversation_id": talk.conversation_id,
            "repository": talk.repository or "",
            "branch": talk.branch or "",
            **_groups(rule, message),
        }
        delay = _given(rule, "delay", self.document.delay)
        return _Player(values, delay, talk).play(self._steps(rule, talk))

    def _rule(self, message: str, number: int) -> described.Answer | described.Answers | None:
        return next((rule for rule in self.document.turns if _matches(rule.when, message, number)), None)

    def _steps(self, rule: described.Answer | described.Answers, talk: Talk) -> Sequence[described.AnyStep]:
        if isinstance(rule, described.Answer):
            return rule.steps
        before = sum(self._rule(text, turn) is rule for turn, text in enumerate(talk.earlier(), 1))
        return rule.answers[min(before, len(rule.answers) - 1)]


class _Player:
    """Plays the steps of one turn; counts them, to know which of them was rejected."""

    def __init__(self, values: Mapping[str, str], delay: float, talk: Talk) -> None:
        self._values = dict(values)
        self._delay = delay
        self._talk = talk
        self._played = 0
        self._over = False

    def play(self, steps: Sequence[described.AnyStep]) -> Moments:
        for step in steps:
            seconds = _given(step, "after", self._delay)
            if isinstance(step, described.Repeat):
                yield from self._repeat(step.repeat, seconds)
            elif isinstance(step, described.Hang):
                yield math.inf, script.Think("")
            else:
                yield seconds, self._act(step)
                yield from self._after(step)
            if self._over:
                return

    def _repeat(self, repetition: described.Repetition, seconds: float) -> Moments:
        outer = self._values.get("n")
        for n in range(1, repetition.times + 1):
            self._values["n"] = str(n)
            for delay, act in self.play(repetition.steps):
                yield delay + seconds, act
                seconds = 0.0
            if self._over:
                return
        self._values |= {} if outer is None else {"n": outer}

    def _after(self, step: described.AnyStep) -> Moments:
        rejected = self._talk.was_rejected(self._played)
        self._played += 1
        if rejected:
            command = step.run if isinstance(step, described.Run) else None
            if isinstance(command, described.Command):
                yield from self.play(command.rejected)
            self._over = True

    def _act(self, step: described.AnyStep) -> Act:
        match step:
            case described.Run(run=described.Command() as command):
                return script.Run(
                    self._fill(command.command),
                    output=self._fill(command.output),
                    exit_code=command.exit_code,
                    thought=self._fill(command.thought),
                    seconds=command.seconds,
                    confirm=command.confirm,
                    risk=command.risk,
                    heeds_rejection=bool(command.rejected),
                )
            case described.Run(run=str(text)):
                return script.Run(self._fill(text))
            case described.Write(write=file):
                path, content, thought = map(self._fill, (file.path, file.content, file.thought))
                return script.Write(path, content, thought)
            case described.Think(think=text):
                return script.Think(self._fill(text))
            case described.Say(say=text):
                return script.Say(self._fill(text))
            case described.Finish(finish=described.Ending(message=text, thought=thought)):
                return script.Finish(self._fill(text), self._fill(thought))
            case described.Finish(finish=str(text)):
                return script.Finish(self._fill(text))
            case described.Error(error=described.Failure(code=code, detail=detail)):
                return script.Fail(self._fill(code), self._fill(detail))
            case described.Error(error=str(text)):
                return script.Fail("LLMError", self._fill(text))
            case described.RateLimited(rate_limited=text):
                return script.GetRateLimited(self._fill(text))
            case described.Stuck():
                return script.GetStuck()
            case _:
                raise TypeError(f"not a step: {step!r}")

    def _fill(self, text: str) -> str:
        return templates.fill(text, self._values.__getitem__)


def _given(part: Part, name: str, default: float) -> float:
    return getattr(part, name) if name in part.model_fields_set else default


def _among(number: int, wanted: int | list[int]) -> bool:
    return wanted == [] or number == wanted or (isinstance(wanted, list) and number in wanted)


def _matches(when: described.When, message: str, number: int) -> bool:
    return (
        (not when.text or message.strip() == when.text.strip())
        and when.contains in message
        and (not when.regex or re.search(when.regex, message) is not None)
        and _among(number, when.turn)
    )


def _groups(rule: described.Rule, message: str) -> Mapping[str, str]:
    found = re.search(rule.when.regex, message) if rule.when.regex else None
    return {} if found is None else templates.groups(found)


def _start_values(request: Mapping[str, Any], number: int) -> dict[str, str]:
    message = request.get("initial_message") or {}
    return {
        "attempt": str(number),
        "message": text_of(message.get("content") or ()),
        "repository": request.get("selected_repository") or "",
        "branch": request.get("selected_branch") or "",
    }


def _applies(when: described.StartWhen, values: Mapping[str, str]) -> bool:
    return (
        _among(int(values["attempt"]), when.attempt)
        and when.contains in values["message"]
        and (not when.repository or when.repository == values["repository"])
    )


def _found(repository: str, folder: Path | None) -> str:
    """A repository beside the scenario by its full path; anything else is a URL or a path as it is."""
    beside = None if folder is None or not repository else folder / repository
    return str(beside.resolve()) if beside is not None and beside.is_dir() else repository
