"""What all models promise: secrets stay out of sight, answers cannot be changed, requests are strict."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from openhands_client import models
from openhands_client.models.base import redacted

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "value",
    [
        models.ConversationInfo(
            conversation_id="c", status=models.ConversationStatus.RUNNING, session_api_key=SECRET
        ),
        models.AppConversation(id="c", sandbox_id="s", session_api_key=SECRET),
        models.SandboxInfo(
            id="s",
            status=models.SandboxStatus.RUNNING,
            session_api_key=SECRET,
            exposed_urls=[
                models.ExposedUrl(name="VSCODE", url=f"http://127.0.0.1:8001/?tkn={SECRET}&folder=w")
            ],
        ),
        models.SandboxInfo.model_validate({"id": "s", "status": "RUNNING", "brand_new_token": SECRET}),
        models.AgentConversationInfo.model_validate({"id": "c", "agent": {"llm": {"api_key": SECRET}}}),
        models.parse_event(
            {
                "kind": "ConversationStateUpdateEvent",
                "id": "e",
                "timestamp": "2026-11-20T23:23:55",
                "source": "environment",
                "key": "full_state",
                "value": {"agent": {"llm": {"api_key": SECRET}}, "secrets": [SECRET]},
            }
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_secret_is_shown(value: models.WireModel) -> None:
    assert SECRET not in repr(value)
    assert SECRET not in str(value)
    assert SECRET not in repr([value])
    assert SECRET in value.to_json()


def test_no_secret_is_in_an_error_message() -> None:
    with pytest.raises(ValidationError) as failure:
        models.SandboxInfo.model_validate({"session_api_key": SECRET, "status": 5, "id": SECRET})
    assert SECRET not in str(failure.value)


def test_redaction_leaves_the_rest_alone() -> None:
    document = {
        "token_count": 3,
        "key": "execution_status",
        "url": "http://h/?folder=w",
        "api_key": "",
        "n": None,
    }
    assert redacted(document) == document


def test_an_answer_cannot_be_changed() -> None:
    task = models.AppConversationStartTask(id="t", status=models.StartTaskStatus.WORKING)
    with pytest.raises(ValidationError, match="frozen"):
        task.status = models.StartTaskStatus.READY  # type: ignore[misc]  # the point of the test
    changed = task.model_copy(update={"status": models.StartTaskStatus.READY})
    assert (task.status, changed.status) == ("WORKING", "READY")


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (models.AppConversationStartRequest, {"repository": "acme/app"}),
        (models.SendMessageRequest, {"content": [], "rum": True}),
        (models.SendMessageRequest, {"content": [{"type": "text", "text": "hi", "colour": "red"}]}),
        (
            models.SendMessageRequest,
            {"content": [{"type": "image_url", "image_url": {"url": "http://h/i.png"}}]},
        ),
        (models.SendMessageRequest, {"content": "hi"}),
        (models.InitSessionRequest, {"agent": "CodeActAgent"}),
        (models.ConfirmationResponseRequest, {"accept": True, "because": "x"}),
        (models.UpdateConversationRequest, {"title": ""}),
        (models.UpdateConversationRequest, {"title": "x" * 201}),
    ],
)
def test_a_request_refuses_what_servers_would_refuse_or_ignore(
    model: type[models.RequestModel], body: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(body)


def test_a_request_leaves_out_what_is_not_set_and_always_says_run() -> None:
    request = models.AppConversationStartRequest(
        initial_message=models.SendMessageRequest(content=[models.TextContent(text="hi")]),
        git_provider=models.ProviderType("GITHUB"),
    )
    assert request.to_dict() == json.loads(request.to_json())
    assert request.to_dict() == {
        "initial_message": {
            "role": "user",
            "content": [{"type": "text", "text": "hi", "cache_prompt": False}],
            "run": True,
        },
        "git_provider": "github",
    }


def test_an_image_of_the_web_client_is_understood() -> None:
    document = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://h/i.png"}}]}
    message = models.Message.model_validate(document)
    [image] = message.content
    assert isinstance(image, models.ImageContent)
    assert image.image_urls == ["http://h/i.png"]
    assert message.to_dict() == document


def test_content_of_an_unknown_type_is_kept() -> None:
    document = {"role": "user", "content": [{"type": "audio", "seconds": 3}, {"type": "text", "text": "hi"}]}
    message = models.Message.model_validate(document)
    assert message.text == "hi"
    assert message.to_dict() == document


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-20T23:14:53.064767Z", datetime(2026, 11, 20, 23, 14, 53, 64767, tzinfo=UTC)),
        ("2026-11-20T23:14:53.064767", datetime(2026, 11, 20, 23, 14, 53, 64767)),
        ("2026-11-20 23:14:53", datetime(2026, 11, 20, 23, 14, 53)),
        (
            "2026-11-20T23:14:53+01:00",
            datetime(2026, 11, 20, 23, 14, 53, tzinfo=timezone(timedelta(hours=1))),
        ),
    ],
)
def test_times_are_read_as_written(text: str, time: datetime) -> None:
    sandbox = models.SandboxInfo.model_validate({"id": "s", "status": "RUNNING", "created_at": text})
    assert sandbox.created_at == time
    assert models.SandboxInfo.model_validate({"id": "s", "status": "RUNNING", "created_at": time}) == sandbox


@pytest.mark.parametrize("value", [5, "5", "yesterday", True, [], "2026-11-20"])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        models.SandboxInfo.model_validate({"id": "s", "status": "RUNNING", "created_at": value})


def test_every_public_name_is_there() -> None:
    assert models.__all__ == sorted(models.__all__)
    assert len(set(models.__all__)) == len(models.__all__)
    for name in models.__all__:
        assert getattr(models, name) is not None
    assert set(models.__all__) <= set(dir(models))


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="Conversatoin"):
        _ = models.Conversatoin


def test_the_models_are_loaded_at_first_use_only() -> None:
    script = (
        "import sys, openhands_client.models as models\n"
        "assert 'openhands_client.models.base' not in sys.modules\n"
        "models.AppConversation\n"
        "assert 'openhands_client.models.base' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
