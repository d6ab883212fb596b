"""Settings, secrets and feedback. What was stored before is put back; a server with model keys is left alone."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.lab.bench import Bench
from openhands_contract.lab.settings import SETTINGS, has_keys, restoring
from openhands_contract.lab.v0 import path, unknown_id
from openhands_contract.outcome import Skipped

_SECRETS = "/api/secrets"
_RATINGS = "/feedback/conversation"


def _secret(bench: Bench, **fields: Any) -> tuple[str, str]:
    """Store a secret; return its name and value."""
    name, value = f"KIT_{secrets.token_hex(6)}", f"value-{secrets.token_hex(12)}"
    bench.app.post(_SECRETS, {"name": name, "value": value, **fields}).must(201)
    bench.later(lambda: bench.app.delete(f"{_SECRETS}/{name}"))
    return name, value


def _listed(bench: Bench, *values: str) -> dict[str, Any]:
    answer = bench.app.get(_SECRETS).must(200)
    for value in values:
        answer.expect(value not in answer.text, "the value is not in the answer", "it is")
    return {one["name"]: one.get("description") for one in answer.pick("custom_secrets")}


@checks("SECRETS-01")
def listing(bench: Bench) -> None:
    """Stores a secret and lists all."""
    name, value = _secret(bench, description="For tests")
    listed = _listed(bench, value)
    bench.expect(listed.get(name) == "For tests", f"{name} is listed with its description", listed)


@checks("SECRETS-06")
def in_the_order_of_names(bench: Bench) -> None:
    """Stores three secrets in another order than that of their names, and lists all."""
    some = secrets.token_hex(4)
    for letter in "BCA":
        name = f"KIT_{some}_{letter}"
        bench.app.post(_SECRETS, {"name": name, "value": "a value"}).needs(201)
        bench.later(partial(bench.app.delete, f"{_SECRETS}/{name}"))
    names = [name for name in _listed(bench) if some in name]
    bench.expect(
        names == sorted(names) and len(names) == 3, "the three are in the order of their names", names
    )


@checks("SECRETS-02")
def refusing(bench: Bench) -> None:
    """Stores a secret twice, and secrets with names that are none."""
    name, _ = _secret(bench)
    again = bench.app.post(_SECRETS, {"name": name, "value": "other"}).must(409)
    again.expect(again.pick("error"), "`error` says so")
    for body in ({"name": "", "value": "x"}, {"name": "a b", "value": "x"}, {"name": "a/b", "value": "x"}):
        refused(bench.app.post(_SECRETS, body), "name")
    refused(bench.app.post(_SECRETS, {"name": f"{name}_2"}), "value")


@checks("SECRETS-03")
def deleting(bench: Bench) -> None:
    """Stores a secret and deletes it twice."""
    name, _ = _secret(bench)
    bench.app.delete(f"{_SECRETS}/{name}").must(200)
    bench.expect(name not in _listed(bench), f"{name} is not listed any more")
    bench.app.delete(f"{_SECRETS}/{name}").must(404)


@checks("SECRETS-04")
def renaming(bench: Bench) -> None:
    """Renames a secret, and one that nobody has stored."""
    name, value = _secret(bench)
    renamed = f"{name}_RENAMED"
    bench.later(lambda: bench.app.delete(f"{_SECRETS}/{renamed}"))
    bench.app.put(f"{_SECRETS}/{name}", {"name": renamed, "description": "Renamed"}).must(200)
    listed = _listed(bench, value)
    bench.expect(
        name not in listed and listed.get(renamed) == "Renamed", "only the new name is listed", listed
    )
    bench.app.put(f"{_SECRETS}/{name}", {"name": name}).must(404)


def _changeable(bench: Bench) -> dict[str, Any]:
    """The settings there are; they are put back at the end. Keys cannot be, so a server with some is left alone."""
    answer = bench.app.get(SETTINGS).needs(200, 404)
    stored: dict[str, Any] = answer.json if answer.status == 200 else {}
    if has_keys(stored):
        raise Skipped("the server has model keys, which could not be put back")
    bench.later(lambda: bench.app.post(SETTINGS, restoring(stored, bench.lab.app_document)))
    return stored


@checks("SETTINGS-01")
def storing(bench: Bench) -> None:
    """Stores settings with a key, reads them, and looks for the key."""
    _changeable(bench)
    key = f"sk-{secrets.token_hex(16)}"
    wanted = {"language": "de", "max_iterations": 42, "confirmation_mode": True, "llm_model": "some/model"}
    bench.app.post(SETTINGS, {**wanted, "llm_api_key": key}).must(200)
    answer = bench.app.get(SETTINGS).must(200).has(**wanted, llm_api_key_set=True)
    answer.expect(key not in answer.text, "the key is not in the answer", "it is")
    user = bench.app.get("/api/v1/users/me")
    user.expect(key not in user.text, "nor in what the user is told of himself", "it is")


@checks("SETTINGS-04")
def storing_some(bench: Bench) -> None:
    """Stores settings with a key, then one of them and no key, then an empty key, and reads them each time."""
    _changeable(bench)
    bench.app.post(SETTINGS, {"language": "de", "max_iterations": 42, "llm_api_key": "sk-kit"}).must(200)
    bench.app.post(SETTINGS, {"max_iterations": 43, "llm_api_key": None}).must(200)
    bench.app.get(SETTINGS).must(200).has(language="de", max_iterations=43, llm_api_key_set=True)
    bench.app.post(SETTINGS, {"llm_api_key": ""}).must(200)
    bench.app.get(SETTINGS).must(200).has(language="de", max_iterations=43, llm_api_key_set=False)


@checks("SETTINGS-02")
def refusing_settings(bench: Bench) -> None:
    """Sends settings of wrong types, and compares what is stored."""
    before = bench.app.get(SETTINGS).needs(200, 404).text
    for name, value in (("max_iterations", "many"), ("max_iterations", 0), ("confirmation_mode", 7)):
        refused(bench.app.post(SETTINGS, {name: value}), name)
    after = bench.app.get(SETTINGS).text
    bench.expect(after == before, "the settings are as before")


@checks("SETTINGS-03")
def options(bench: Bench) -> None:
    """Lists models, agents and security analyzers."""
    for name in ("models", "agents", "security-analyzers"):
        answer = bench.app.get(f"/api/options/{name}").must(200)
        names = answer.json
        fine = isinstance(names, list) and all(isinstance(one, str) for one in names)
        answer.expect(fine, "the answer is a list of names", names)


@checks("FEEDBACK-01")
def rating(bench: Bench) -> None:
    """Rates an event twice, and reads the ratings of it, of another one, and of all."""
    identifier = bench.v0.finished("Say hello and finish.")
    first, second = (event["id"] for event in bench.v0.events(identifier)[1:3])
    for stars in (2, 5):
        body = {"conversation_id": identifier, "event_id": first, "rating": stars, "reason": f"{stars} stars"}
        bench.app.post(_RATINGS, body).must(200).has(status="success")
        found = bench.app.get(f"{_RATINGS}/{identifier}/{first}").must(200)
        found.has(exists=True, rating=stars, reason=f"{stars} stars")
        batch = bench.app.get(f"{_RATINGS}/{identifier}/batch").must(200)
        rating = batch.pick(str(first), "rating")
        batch.expect(rating == stars, f"the batch has {stars} for {first}", rating)
    bench.app.get(f"{_RATINGS}/{identifier}/{second}").must(200).has(exists=False)


@checks("FEEDBACK-02")
def strange_ratings(bench: Bench) -> None:
    """Rates with 0, 6 and `good`, and rates a conversation that nobody has made."""
    identifier = bench.v0.new()
    for stars in (0, 6, "good"):
        refused(bench.app.post(_RATINGS, {"conversation_id": identifier, "rating": stars}), "rating")
    bench.app.post(_RATINGS, {"conversation_id": unknown_id(), "rating": 3}).must(404)
    bench.app.get(f"{_RATINGS}/{unknown_id()}/batch").must(404)


@checks("FEEDBACK-03")
def feedback(bench: Bench) -> None:
    """Submits feedback twice, and feedback that says nothing."""
    identifier = bench.v0.new()
    ids = []
    for polarity in ("positive", "negative"):
        answer = bench.app.post(path(identifier, "/submit-feedback"), {"polarity": polarity}).must(200)
        ids.append(answer.has(status="success").pick("body", "feedback_id"))
    bench.expect(ids[0] != ids[1], "each has an id of its own", ids)
    for body in ({}, {"polarity": "lukewarm"}):
        refused(bench.app.post(path(identifier, "/submit-feedback"), body), "polarity")


@checks("SECRETS-05")
def refusals_repeat_nothing(bench: Bench) -> None:
    """Sends secrets and settings with a key that are refused for something else, and looks for value and key."""
    value = f"value-{secrets.token_hex(12)}"
    for place, body in (
        (_SECRETS, {"name": "a b", "value": value}),
        (_SECRETS, {"name": f"KIT_{secrets.token_hex(6)}", "value": value, "description": 7}),
        (SETTINGS, {"max_iterations": "many", "llm_api_key": value}),
    ):
        answer = bench.app.post(place, body).must(422)
        answer.expect(value not in answer.text, "the refusal does not repeat what is secret", "it does")
