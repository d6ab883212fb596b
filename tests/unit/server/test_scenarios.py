"""Scenarios without a server: what is read, what is refused and how, and which acts come of it."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from openhands_reference_server import scenarios
from openhands_reference_server.domain import script
from openhands_reference_server.domain.script import Act, Talk
from openhands_reference_server.scenarios import Scenario, ScenarioError
from openhands_reference_server.scenarios.format import KINDS, ScenarioDocument, StageName, json_schema

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "reference_server/openhands_reference_server/scenarios/scenario.schema.json"
VALIDATOR = jsonschema_rs.Draft202012Validator(json_schema())
READY_MADE = sorted((ROOT / "examples/scenarios").glob("*.yaml"))


def playing(*steps: dict[str, Any], **rule: Any) -> Scenario:
    return scenarios.load({"turns": [{"steps": list(steps), **rule}]})


def acts(scenario: Scenario, message: str = "hello", number: int = 1, talk: Talk | None = None) -> list[Act]:
    return [act for _, act in scenario.turn(message, number, talk or Talk())]


def stages(scenario: Scenario, number: int = 1, **request: Any) -> list[tuple[float, script.Stage]]:
    return list(scenario.start(request, number))


# -- the schema -------------------------------------------------------------------------------------


def test_the_published_schema_is_the_format() -> None:
    assert json.loads(PUBLISHED.read_text()) == json_schema(), (
        "write it anew: openhands-reference-server scenario-schema"
    )


def test_the_format_knows_every_stage() -> None:
    assert get_args(StageName) == script.START_STAGES[1:]


@pytest.mark.parametrize("path", READY_MADE, ids=lambda path: path.stem)
def test_ready_made_scenarios_can_be_played(path: Path) -> None:
    assert scenarios.load(path).document.title


def test_there_are_ready_made_scenarios() -> None:
    assert len(READY_MADE) >= 6


WORDS = ["", "x", "LOW", "(a)", "WAITING_FOR_SANDBOX"]
SCALARS = st.sampled_from([None, True, False, 0, 1, -1, 2.0, 0.5, *WORDS])
KEYS = sorted(
    {key for part in (*json_schema()["$defs"].values(), json_schema()) for key in part["properties"]}
    | {*get_args(StageName), "unknown"}
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
GOOD = {
    "title": "t",
    "delay": 0,
    "repository": "r",
    "start": [
        {"when": {"attempt": [1], "contains": "a", "repository": "b"}, "stages": {"READY": {"delay": 1}}},
        {
            "when": {"attempt": 2},
            "delay": 1,
            "stages": {"READY": {"fail": "f"}, "SETTING_UP_SKILLS": {"hang": True}},
        },
    ],
    "turns": [
        {
            "when": {"text": "t", "regex": "(a)", "contains": "c", "turn": 1},
            "steps": [
                {"run": "ls", "after": 1},
                {"run": {"command": "c", "confirm": True, "rejected": [{"stuck": True}]}},
                {"write": {"path": "p", "content": ""}},
                {"repeat": {"times": 2, "steps": [{"think": "t"}]}},
                {"finish": {"message": "m"}},
            ],
        },
        {"answers": [[{"say": "s"}], [{"error": "e"}], [{"error": {"detail": "d"}}], [{"hang": True}]]},
        {"steps": [{"rate_limited": "r"}]},
        {"steps": [{"finish": ""}]},
    ],
}


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in it."""
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in list(keys):
        yield data, key
        yield from _places(data[key])


@st.composite
def nearly_scenarios(draw: st.DrawFn) -> Any:
    """A good scenario with a few things replaced, taken away or added."""
    data = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(0, 2))):
        places = list(_places(data))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                holder[key] = draw(ANYTHING)
            case "remove":
                del holder[key]
            case _ if isinstance(holder, dict):
                holder[draw(st.sampled_from(KEYS))] = draw(ANYTHING)
            case _:
                holder.append(draw(ANYTHING))
    return data


def is_read(data: Any) -> bool:
    try:
        ScenarioDocument.model_validate(data)
    except ValidationError:
        return False
    return True


@settings(deadline=None)
@given(nearly_scenarios() | ANYTHING)
def test_the_schema_accepts_what_is_read_and_nothing_else(data: Any) -> None:
    assert VALIDATOR.is_valid(data) == is_read(data), data


@settings(deadline=None)
@given(nearly_scenarios())
def test_what_is_refused_is_refused_with_reasons(data: Any) -> None:
    problems = _problems(data)
    assert problems or VALIDATOR.is_valid(data)
    assert all(problem.startswith("scenario: ") for problem in problems)


def _problems(data: Any) -> tuple[str, ...]:
    try:
        scenarios.load(data)
    except ScenarioError as error:
        return error.problems
    return ()


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("title: x\nturnz: []\n", 2, "turnz: unknown key; did you mean 'turns'?"),
        (
            "turns:\n  - steps:\n      - finsh: x\n",
            3,
            "turns[0].steps[0].finsh: unknown kind of step; did you mean",
        ),
        (
            "turns:\n  - when: {regx: a}\n    steps: [say: x]\n",
            2,
            "turns[0].when.regx: unknown key; did you mean",
        ),
        ("turns:\n- steps:\n  - run:\n      command: ls\n      exit: 1\n", 5, "did you mean 'exit_code'?"),
        ("turns:\n  - when: {regex: '(a'}\n    steps: [say: x]\n", 2, "not a regular expression"),
        ("turns:\n  - steps:\n      - say: 3\n", 3, "expected text, in quotes where YAML would read"),
        ("turns:\n  - steps:\n      - say: '{{ mesage }}'\n", 3, "did you mean 'message'?"),
        ("turns:\n  - steps:\n      - say: '{{ message'\n", 3, "never closed"),
        ("turns:\n  - steps:\n      - say: '{{ n }}'\n", 3, "'{{ n }}' has no value"),
        (
            "turns:\n  - steps:\n      - say: a\n      - say: b\n",
            4,
            "is never reached: the step before it (say)",
        ),
        (
            "start:\n  - stages:\n      READY: {delay: -1}\n",
            3,
            "start[0].stages.READY.delay: input should be",
        ),
        ("start:\n  - stages:\n      REDY: {delay: 1}\n", 3, "start[0].stages.REDY: expected 'WAITING_FOR_"),
        ("start:\n  - stages:\n      READY: {fail: '{{ turn }}'}\n", 3, "'{{ turn }}' has no value"),
        ("title: x\ntitle: y\n", 2, "the key 'title' stands here a second time"),
        ("title: x\n  bad: [\n", 2, "not YAML"),
        ("turns:\n  - steps: !!python/name:os.system x\n", 2, "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        scenarios.load(text)
    [problem, *_] = refused.value.problems
    assert problem.startswith(f"scenario, line {line}: ")
    assert said in problem


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ScenarioError) as refused:
        scenarios.load("titel: x\nstart: 3\nturns:\n  - {}\n")
    assert len(refused.value.problems) == 3


def test_a_scenario_that_contains_itself_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"nested too deeply|[Rr]ecurs"):
        scenarios.load("turns: &a\n  - *a\n")


@pytest.mark.parametrize("source", ["", "no-such-file.yaml"])
def test_a_file_that_is_not_there_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        scenarios.load(tmp_path / source)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# nothing\n")
    with pytest.raises(ScenarioError, match=r"a\.yaml: the scenario is empty"):
        scenarios.load(tmp_path / "a.yaml")


# -- what is played ---------------------------------------------------------------------------------


def test_no_rule_means_echo_and_finish() -> None:
    assert acts(scenarios.load({})) == list(script.echo_and_finish("hello", 1))


def test_every_kind_of_step_is_an_act() -> None:
    rest = ("say", "finish", "error", "stuck", "rate_limited")
    steps: list[dict[str, Any]] = [{kind: True if kind == "stuck" else "x"} for kind in rest]
    [said, finished, failed, stuck, limited] = [acts(playing(step))[0] for step in steps]
    assert said == script.Say("x")
    assert finished == script.Finish("x")
    assert failed == script.Fail("LLMError", "x")
    assert stuck == script.GetStuck()
    assert limited == script.GetRateLimited("x")
    others: list[dict[str, Any]] = [
        {
            "run": {
                "command": "ls",
                "output": "a",
                "exit_code": 2,
                "seconds": 1,
                "thought": "t",
                "risk": "HIGH",
            }
        },
        {"write": {"path": "a", "content": "b"}},
        {"think": "t"},
    ]
    assert acts(playing(*others)) == [
        script.Run("ls", output="a", exit_code=2, seconds=1, thought="t", risk="HIGH"),
        script.Write("a", "b"),
        script.Think("t"),
    ]
    assert set(KINDS) == {*rest, "run", "write", "think", "repeat", "hang"}


def test_delays_are_those_of_the_step_the_turn_or_the_scenario() -> None:
    steps = [{"think": "a"}, {"think": "b", "after": 0}, {"hang": True}]
    one = scenarios.load(
        {"delay": 3, "turns": [{"when": {"turn": 1}, "delay": 2, "steps": steps}, {"steps": steps}]}
    )
    assert [delay for delay, _ in one.turn("", 1, Talk())] == [2, 0, math.inf]
    assert [delay for delay, _ in one.turn("", 2, Talk())] == [3, 0, math.inf]


@pytest.mark.parametrize(
    ("when", "message", "number", "matches"),
    [
        ({}, "anything", 7, True),
        ({"text": "deploy"}, " deploy\n", 1, True),
        ({"text": "deploy"}, "deploy it", 1, False),
        ({"contains": "deploy"}, "please deploy it", 1, True),
        ({"contains": "deploy"}, "Deploy", 1, False),
        ({"regex": "(?i)^deploy"}, "Deploy it", 1, True),
        ({"regex": "^deploy"}, "do deploy", 1, False),
        ({"turn": 2}, "x", 2, True),
        ({"turn": 2}, "x", 1, False),
        ({"turn": [1, 3]}, "x", 3, True),
        ({"turn": [1, 3]}, "x", 2, False),
        ({"contains": "x", "turn": 2}, "x", 1, False),
    ],
)
def test_messages_are_matched(when: dict[str, Any], message: str, number: int, matches: bool) -> None:
    played = acts(playing({"say": "yes"}, when=when), message, number)
    assert (played == [script.Say("yes")]) is matches


def test_the_first_rule_that_applies_counts() -> None:
    rules = [{"when": {"contains": word}, "steps": [{"say": word}]} for word in "ab"]
    one = scenarios.load({"turns": [*rules, {"steps": [{"say": "neither"}]}]})
    assert [acts(one, text) for text in ("ab", "b", "c")] == [
        [script.Say(word)] for word in ("a", "b", "neither")
    ]


def test_blanks_are_filled_in() -> None:
    names = ["message", "turn", "conversation_id", "repository", "branch", "match.1", "match.b"]
    text = "|".join(f"{{{{ {name} }}}}" for name in names) + r"|\{{ x }}"
    talk = Talk(conversation_id="c0", repository="acme/app")
    [said] = acts(playing({"say": text}, when={"regex": "(?P<a>x)(?P<b>y)?"}), "ax", 3, talk)
    assert said == script.Say("ax|3|c0|acme/app||x||{{ x }}")


def test_what_is_filled_in_is_never_a_template_itself() -> None:
    assert acts(playing({"say": "{{ message }}"}), "{{ turn }}") == [script.Say("{{ turn }}")]


def test_repetitions_count() -> None:
    inner = {"repeat": {"times": 2, "steps": [{"think": "inner {{ n }}"}]}}
    outer = {"repeat": {"times": 2, "steps": [{"think": "{{ n }}"}, inner, {"think": "again {{ n }}"}]}}
    texts = [act.thought for act in acts(playing(outer)) if isinstance(act, script.Think)]
    once = ["inner 1", "inner 2"]
    assert texts == ["1", *once, "again 1", "2", *once, "again 2"]


def test_sequences_go_on_with_each_message_they_answer() -> None:
    one = scenarios.load(
        {
            "turns": [
                {"when": {"contains": "a"}, "answers": [[{"say": "one"}], [{"say": "two"}]]},
                {"steps": [{"say": "other"}]},
            ]
        }
    )
    messages = ["a", "b", "a", "a"]

    def earlier(turn: int) -> Sequence[str]:
        return messages[:turn]

    said = [
        acts(one, text, turn + 1, Talk(earlier=lambda turn=turn: earlier(turn)))  # type: ignore[misc]  # a default, not a parameter
        for turn, text in enumerate(messages)
    ]
    assert said == [[script.Say(word)] for word in ("one", "other", "two", "two")]


def test_a_rejected_command_leads_elsewhere() -> None:
    command = {"command": "rm", "confirm": True, "rejected": [{"think": "no"}, {"say": "left"}]}
    one = playing({"think": "a"}, {"run": command}, {"finish": "gone"})
    assert acts(one)[2:] == [script.Finish("gone")]
    assert acts(one, talk=Talk(was_rejected=lambda act: act == 1))[2:] == [
        script.Think("no"),
        script.Say("left"),
    ]


def test_a_rejection_ends_a_turn_that_says_nothing_about_it() -> None:
    one = playing(
        {"repeat": {"times": 2, "steps": [{"run": {"command": "rm", "confirm": True}}]}}, {"finish": ""}
    )
    assert len(acts(one, talk=Talk(was_rejected=lambda act: act == 0))) == 1


def test_starts_go_well_by_default() -> None:
    assert [stage for _, stage in stages(scenarios.load({}))] == list(script.START_STAGES[1:])


def test_starts_are_delayed_hang_and_fail() -> None:
    details = {"WAITING_FOR_SANDBOX": {"delay": 5}, "PREPARING_REPOSITORY": {"hang": True}}
    failing = {"READY": {"fail": "no {{ repository }} on {{ branch }}, {{ message }}, {{ attempt }}"}}
    one = scenarios.load({"start": [{"delay": 1, "stages": {**details, **failing}}]})
    message = {"content": [{"type": "text", "text": "hi"}]}
    seen = stages(one, 4, selected_repository="a/b", selected_branch="main", initial_message=message)
    assert [delay for delay, _ in seen] == [5, math.inf, 1, 1, 1, 1, 1]
    assert seen[-1][1] == script.StartFailure("no a/b on main, hi, 4")


@pytest.mark.parametrize(
    ("when", "applies"),
    [
        ({"attempt": 1}, True),
        ({"attempt": [2, 3]}, False),
        ({"contains": "hi"}, True),
        ({"contains": "ho"}, False),
        ({"repository": "a/b"}, True),
        ({"repository": "a"}, False),
    ],
)
def test_starts_are_matched(when: dict[str, Any], applies: bool) -> None:
    one = scenarios.load({"start": [{"when": when, "stages": {"READY": {"fail": "x"}}}]})
    message = {"content": [{"type": "text", "text": "hi there"}]}
    [*_, (_, last)] = stages(one, 1, selected_repository="a/b", initial_message=message)
    assert isinstance(last, script.StartFailure) is applies


def test_a_repository_beside_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "a.yaml").write_text("repository: repo\n")
    clones = [
        stage.source
        for _, stage in stages(scenarios.load(tmp_path / "a.yaml"))
        if isinstance(stage, script.Clone)
    ]
    assert clones == [str((tmp_path / "repo").resolve())]
