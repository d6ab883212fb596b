"""The two OpenAPI documents are valid, complete and agree with each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import validate

from openhands_contract.documents import DocumentName, load, load_text

NAMES: tuple[DocumentName, ...] = ("app-server", "agent-server")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
SUCCESS = ("200", "201")
FORMS = {"uploadFiles", "uploadFileToPath"}
BINARIES = {("zipDirectory", "200"), ("downloadFileAtPath", "200"), ("downloadTrajectory", "200")}

OPERATIONS = {
    "app-server": {
        "createConversation": "POST /api/conversations",
        "listConversations": "GET /api/conversations",
        "getConversation": "GET /api/conversations/{conversation_id}",
        "updateConversation": "PATCH /api/conversations/{conversation_id}",
        "deleteConversation": "DELETE /api/conversations/{conversation_id}",
        "startConversation": "POST /api/conversations/{conversation_id}/start",
        "stopConversation": "POST /api/conversations/{conversation_id}/stop",
        "pauseConversation": "POST /api/conversations/{conversation_id}/pause",
        "getConversationConfig": "GET /api/conversations/{conversation_id}/config",
        "searchConversationEvents": "GET /api/conversations/{conversation_id}/events",
        "addConversationEvent": "POST /api/conversations/{conversation_id}/events",
        "addConversationMessage": "POST /api/conversations/{conversation_id}/message",
        "getTrajectory": "GET /api/conversations/{conversation_id}/trajectory",
        "getMicroagents": "GET /api/conversations/{conversation_id}/microagents",
        "getMicroagentPrompt": "GET /api/conversations/{conversation_id}/remember-prompt",
        "addExperimentConfig": "POST /api/conversations/{conversation_id}/exp-config",
        "listMicroagentManagementConversations": "GET /api/microagent-management/conversations",
        "listFiles": "GET /api/conversations/{conversation_id}/list-files",
        "selectFile": "GET /api/conversations/{conversation_id}/select-file",
        "zipDirectory": "GET /api/conversations/{conversation_id}/zip-directory",
        "uploadFiles": "POST /api/conversations/{conversation_id}/upload-files",
        "getGitChanges": "GET /api/conversations/{conversation_id}/git/changes",
        "getGitDiff": "GET /api/conversations/{conversation_id}/git/diff",
        "getVSCodeUrl": "GET /api/conversations/{conversation_id}/vscode-url",
        "getWebHosts": "GET /api/conversations/{conversation_id}/web-hosts",
        "submitFeedback": "POST /api/conversations/{conversation_id}/submit-feedback",
        "submitConversationFeedback": "POST /feedback/conversation",
        "checkFeedbackExists": "GET /feedback/conversation/{conversation_id}/{event_id}",
        "getBatchFeedback": "GET /feedback/conversation/{conversation_id}/batch",
        "getConfig": "GET /api/options/config",
        "listModels": "GET /api/options/models",
        "listAgents": "GET /api/options/agents",
        "listSecurityAnalyzers": "GET /api/options/security-analyzers",
        "getSettings": "GET /api/settings",
        "storeSettings": "POST /api/settings",
        "listSecrets": "GET /api/secrets",
        "createSecret": "POST /api/secrets",
        "updateSecret": "PUT /api/secrets/{secret_name}",
        "deleteSecret": "DELETE /api/secrets/{secret_name}",
        "getUserInfo": "GET /api/user/info",
        "listUserRepositories": "GET /api/user/repositories",
        "startAppConversation": "POST /api/v1/app-conversations",
        "streamStartAppConversation": "POST /api/v1/app-conversations/stream-start",
        "batchGetAppConversations": "GET /api/v1/app-conversations",
        "searchAppConversations": "GET /api/v1/app-conversations/search",
        "countAppConversations": "GET /api/v1/app-conversations/count",
        "batchGetStartTasks": "GET /api/v1/app-conversations/start-tasks",
        "searchStartTasks": "GET /api/v1/app-conversations/start-tasks/search",
        "countStartTasks": "GET /api/v1/app-conversations/start-tasks/count",
        "readConversationFile": "GET /api/v1/app-conversations/{conversation_id}/file",
        "batchGetEvents": "GET /api/v1/events",
        "searchEvents": "GET /api/v1/events/search",
        "countEvents": "GET /api/v1/events/count",
        "startSandbox": "POST /api/v1/sandboxes",
        "deleteSandbox": "DELETE /api/v1/sandboxes/{sandbox_id}",
        "searchSandboxSpecs": "GET /api/v1/sandbox-specs/search",
        "batchGetSandboxSpecs": "GET /api/v1/sandbox-specs",
        "getCurrentUser": "GET /api/v1/users/me",
        "reportEvents": "POST /api/v1/webhooks/events/{conversation_id}",
        "reportConversation": "POST /api/v1/webhooks/conversations",
        "batchGetSandboxes": "GET /api/v1/sandboxes",
        "searchSandboxes": "GET /api/v1/sandboxes/search",
        "pauseSandbox": "POST /api/v1/sandboxes/{sandbox_id}/pause",
        "resumeSandbox": "POST /api/v1/sandboxes/{sandbox_id}/resume",
        "alive": "GET /alive",
        "health": "GET /health",
        "serverInfo": "GET /server_info",
    },
    "agent-server": {
        "startConversation": "POST /api/conversations",
        "batchGetConversations": "GET /api/conversations",
        "searchConversations": "GET /api/conversations/search",
        "countConversations": "GET /api/conversations/count",
        "getConversation": "GET /api/conversations/{conversation_id}",
        "updateConversation": "PATCH /api/conversations/{conversation_id}",
        "deleteConversation": "DELETE /api/conversations/{conversation_id}",
        "setConfirmationPolicy": "POST /api/conversations/{conversation_id}/confirmation_policy",
        "setSecurityAnalyzer": "POST /api/conversations/{conversation_id}/security_analyzer",
        "updateSecrets": "POST /api/conversations/{conversation_id}/secrets",
        "generateTitle": "POST /api/conversations/{conversation_id}/generate_title",
        "askAgent": "POST /api/conversations/{conversation_id}/ask_agent",
        "condense": "POST /api/conversations/{conversation_id}/condense",
        "batchGetEvents": "GET /api/conversations/{conversation_id}/events",
        "uploadFileToPath": "POST /api/file/upload/{path}",
        "downloadFileAtPath": "GET /api/file/download/{path}",
        "downloadTrajectory": "GET /api/file/download-trajectory/{conversation_id}",
        "gitChangesAtPath": "GET /api/git/changes/{path}",
        "gitDiffAtPath": "GET /api/git/diff/{path}",
        "getVscodeUrl": "GET /api/vscode/url",
        "getVscodeStatus": "GET /api/vscode/status",
        "getDesktopUrl": "GET /api/desktop/url",
        "listTools": "GET /api/tools/",
        "startBashCommand": "POST /api/bash/start_bash_command",
        "executeBashCommand": "POST /api/bash/execute_bash_command",
        "searchBashEvents": "GET /api/bash/bash_events/search",
        "getBashEvent": "GET /api/bash/bash_events/{event_id}",
        "clearBashEvents": "DELETE /api/bash/bash_events",
        "runConversation": "POST /api/conversations/{conversation_id}/run",
        "pauseConversation": "POST /api/conversations/{conversation_id}/pause",
        "searchEvents": "GET /api/conversations/{conversation_id}/events/search",
        "countEvents": "GET /api/conversations/{conversation_id}/events/count",
        "getEvent": "GET /api/conversations/{conversation_id}/events/{event_id}",
        "sendEvent": "POST /api/conversations/{conversation_id}/events",
        "respondToConfirmation": "POST /api/conversations/{conversation_id}/events/respond_to_confirmation",
        "alive": "GET /alive",
        "health": "GET /health",
        "serverInfo": "GET /server_info",
    },
}


def resolve(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation) with the path's own parameters put first, references resolved."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                shared = item.get("parameters", [])
                parameters = [resolve(document, p) for p in [*shared, *item[method].get("parameters", [])]]
                yield path, method, {**item[method], "parameters": parameters}


def media_types(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON media type of the document with a name for it; forms and binaries have no examples."""
    for _, _, operation in operations(document):
        name = operation["operationId"]
        if "requestBody" in operation and name not in FORMS:
            yield f"{name} request", operation["requestBody"]["content"]["application/json"]
        for status, response in operation["responses"].items():
            if (name, status) not in BINARIES:
                yield f"{name} {status}", resolve(document, response)["content"]["application/json"]


def validator(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    whole = {**schema, "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> DocumentName:
    chosen: DocumentName = request.param
    return chosen


@pytest.fixture
def document(name: DocumentName) -> dict[str, Any]:
    return load(name)


def test_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)


def test_has_exactly_the_operations(name: DocumentName, document: dict[str, Any]) -> None:
    found = {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, method, operation in operations(document)
    }
    assert found == OPERATIONS[name]


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for _, _, operation in operations(document):
        assert set(operation["tags"]) <= tags
        assert operation["summary"]
        assert operation["description"]
        for parameter in operation["parameters"]:
            assert parameter["description"], parameter


def test_every_response_has_schema_and_example(document: dict[str, Any]) -> None:
    for where, media in media_types(document):
        assert media.get("schema") is not None, where
        assert "example" in media, where


def test_every_operation_documents_the_common_failures(name: DocumentName, document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        statuses = set(operation["responses"])
        expected = {"500"}
        if name == "app-server":
            expected.add("429")
        if operation.get("security") != []:
            expected.add("401")
        if "requestBody" in operation:
            expected |= {"413", "415", "422"}
        assert expected <= statuses, operation["operationId"]


def test_every_parameter_is_bounded(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for parameter in operation["parameters"]:
            if "content" in parameter:
                continue
            schema = resolve(document, parameter["schema"])
            if schema["type"] == "array":
                assert {"minItems", "maxItems"} <= schema.keys(), parameter["name"]
                schema = resolve(document, schema["items"])
            match schema["type"]:
                case "string":
                    assert schema.keys() & {"enum", "maxLength", "pattern", "format"}, parameter["name"]
                case "integer":
                    assert schema.keys() & {"minimum", "exclusiveMinimum"}, parameter["name"]
                    assert "maximum" in schema, parameter["name"]
                case other:
                    assert other == "boolean"


def test_examples_satisfy_their_schemas(document: dict[str, Any]) -> None:
    for where, media in media_types(document):
        problems = list(validator(document, media["schema"]).iter_errors(media["example"]))
        assert not problems, f"{where}: {problems}"
    for _, _, operation in operations(document):
        for parameter in operation["parameters"]:
            holder = parameter["content"]["application/json"] if "content" in parameter else parameter
            if "example" in holder:
                validator(document, holder["schema"]).validate(holder["example"])


def test_links_lead_to_operations_and_parameters_that_exist(document: dict[str, Any]) -> None:
    names = {
        operation["operationId"]: {parameter["name"] for parameter in operation["parameters"]}
        for _, _, operation in operations(document)
    }
    linked = 0
    for _, _, operation in operations(document):
        for response in operation["responses"].values():
            for reference in resolve(document, response).get("links", {}).values():
                link = resolve(document, reference)
                assert {name.removeprefix("path.") for name in link["parameters"]} <= names[
                    link["operationId"]
                ]
                linked += 1
    assert linked >= 20


def test_nothing_is_defined_in_vain(name: DocumentName) -> None:
    text = load_text(name)
    document = load(name)
    for section, members in document["components"].items():
        if section == "securitySchemes":
            continue
        for member in members:
            if (section, member) == ("responses", "MethodNotAllowed"):
                continue  # no operation can carry it: it answers the methods that are not there
            assert f"#/components/{section}/{member}'" in text, f"{section}/{member}"


def test_schemas_of_the_same_name_are_the_same() -> None:
    app, agent = (load(name)["components"]["schemas"] for name in NAMES)
    differing = {name for name in app.keys() & agent.keys() if app[name] != agent[name]}
    assert differing == {
        "ConversationInfo",
        "ConversationPage",
        "FileUpload",
        "GitChange",
        "GitDiff",
        "ServerInfo",
        "StartConversationRequest",
        "UpdateConversationRequest",
    }


def test_loading_again_gives_a_copy_of_ones_own() -> None:
    load("app-server")["paths"].clear()
    assert load("app-server")["paths"]
