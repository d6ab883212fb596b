"""Open enumerations: known words are members, unknown ones are kept, spellings of one word are one."""

import copy
import json
import pickle

import pytest

from openhands_client import models


def test_a_known_word_is_its_member() -> None:
    status = models.StartTaskStatus("READY")
    assert status is models.StartTaskStatus.READY
    assert status == "READY"
    assert status.known
    assert f"{status}" == "READY"


def test_an_unknown_word_is_kept() -> None:
    status = models.StartTaskStatus("BREWING")
    assert status == "BREWING"
    assert status == models.StartTaskStatus("BREWING")
    assert not status.known
    assert f"{status}" == "BREWING"
    assert {"BREWING": 1}[status] == 1
    assert json.dumps(status) == '"BREWING"'


def test_unknown_words_do_not_pile_up() -> None:
    models.StartTaskStatus("BREWING")
    assert "BREWING" not in models.StartTaskStatus.__members__


@pytest.mark.parametrize("word", ["READY", "BREWING", ""])
def test_words_survive_pickling_and_copying(word: str) -> None:
    status = models.StartTaskStatus(word)
    assert pickle.loads(pickle.dumps(status)) == status  # noqa: S301  (our own bytes)
    assert copy.deepcopy(status) == status


def test_what_is_no_word_is_refused() -> None:
    with pytest.raises(ValueError, match="5"):
        models.StartTaskStatus(5)  # type: ignore[arg-type]  # what a wrong caller does


@pytest.mark.parametrize(
    ("word", "member"),
    [
        ("STATUS$READY", models.RuntimeStatus.READY),
        ("READY", models.RuntimeStatus.READY),
        ("ERROR_LLM_AUTHENTICATION", models.RuntimeStatus.ERROR_LLM_AUTHENTICATION),
        (
            "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE",
            models.RuntimeStatus.AGENT_RATE_LIMITED_STOPPED_MESSAGE,
        ),
        ("RUNNING", models.ExecutionStatus.RUNNING),
        ("Finished", models.ExecutionStatus.FINISHED),
        ("AWAITING_USER_INPUT", models.ExecutionStatus.IDLE),
        ("AWAITING_USER_CONFIRMATION", models.ExecutionStatus.WAITING_FOR_CONFIRMATION),
        ("STOPPED", models.ExecutionStatus.PAUSED),
        ("GITHUB", models.ProviderType.GITHUB),
        ("STOPPED", models.SandboxStatus.STOPPED),
    ],
)
def test_every_spelling_of_a_word_is_the_same_member(word: str, member: models.RuntimeStatus) -> None:
    assert type(member)(word) is member


def test_a_model_reads_unknown_words_and_gives_them_back() -> None:
    document = {
        "conversation_id": "c1",
        "status": "PAUSED",
        "trigger": "carrier_pigeon",
        "git_provider": None,
    }
    info = models.ConversationInfo.model_validate_json(json.dumps(document))
    assert info.status == "PAUSED"
    assert info.trigger is not None
    assert not info.trigger.known
    assert info.to_dict() == document


def test_a_member_says_its_name_when_shown() -> None:
    info = models.ConversationInfo(conversation_id="c1", status=models.ConversationStatus.RUNNING)
    assert "<ConversationStatus.RUNNING: 'RUNNING'>" in repr(info)
