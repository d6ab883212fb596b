"""Requests are accepted or refused by the documents, and refused in the documented words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_contract.documents import DocumentName, load
from openhands_reference_server.http.validation import RequestInvalid, RequestValidator, ValidRequest
from openhands_reference_server.http.validation_items import items

UUID = "ff7afb957c8b4f278de70dacd7dfc0be"
DASHED = "ff7afb95-7c8b-4f27-8de7-0dacd7dfc0be"
VALIDATORS = {name: RequestValidator(load(name)) for name in ("app-server", "agent-server")}
OPERATIONS = [
    (name, operation["operationId"])
    for name in ("app-server", "agent-server")
    for item in load(name)["paths"].values()
    for method, operation in item.items()
    if method != "parameters"
]
PROVIDERS = "'github', 'gitlab', 'bitbucket', 'azure_devops' or 'enterprise_sso'"


def validate(
    operation: str,
    *,
    server: DocumentName = "app-server",
    path: Mapping[str, str] | None = None,
    query: Sequence[tuple[str, str]] = (),
    json_body: Any = None,
    body: bytes = b"",
    content_type: str | None = "application/json",
) -> ValidRequest:
    return VALIDATORS[server].validate(
        operation,
        path={"conversation_id": UUID, "sandbox_id": "box", "event_id": "event", **(path or {})},
        query=query,
        headers={},
        content_type=content_type,
        body=body or (json.dumps(json_body).encode() if json_body is not None else b""),
    )


def attempt(operation: str, **request: Any) -> ValidRequest | RequestInvalid:
    try:
        return validate(operation, **request)
    except RequestInvalid as refused:
        return refused


def refusal(operation: str, **request: Any) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        validate(operation, **request)
    return caught.value


def problems(operation: str, **request: Any) -> list[dict[str, Any]]:
    refused = refusal(operation, **request)
    assert refused.status == 422
    detail: list[dict[str, Any]] = refused.body["detail"]
    return detail


class TestParameters:
    def test_are_converted_and_defaults_filled_in(self) -> None:
        query = [("limit", "7"), ("reverse", "True"), ("filter", '{"source":"user"}'), ("unknown", "x")]
        request = validate("searchConversationEvents", query=query)
        assert request.path == {"conversation_id": UUID}
        assert request.query == {
            "start_id": 0,
            "end_id": None,
            "reverse": True,
            "filter": {"source": "user"},
            "limit": 7,
        }

    def test_defaults_come_from_named_schemas_too(self) -> None:
        assert validate("searchStartTasks").query["sort_order"] == "CREATED_AT_DESC"
        assert validate("searchStartTasks").query["limit"] == 100

    def test_repeated_ids_become_a_list(self) -> None:
        request = validate("batchGetStartTasks", query=[("ids", UUID), ("ids", DASHED)])
        assert request.query["ids"] == [UUID, DASHED]

    def test_a_hundred_ids_and_no_more(self) -> None:
        assert validate("batchGetStartTasks", query=[("ids", UUID)] * 100)
        (problem,) = problems("batchGetStartTasks", query=[("ids", UUID)] * 101)
        assert problem["type"] == "too_long"
        assert problem["ctx"] == {"field_type": "List", "max_length": 100, "actual_length": 101}

    @pytest.mark.parametrize("text", ["0", "101", "-1", "9999999999999999999", "", "abc", "1_0", " 1", "1e2"])
    def test_limits_outside_one_to_a_hundred_are_refused(self, text: str) -> None:
        (problem,) = problems("searchAppConversations", query=[("limit", text)])
        assert problem["loc"] == ["query", "limit"]
        assert problem["input"] == text

    @pytest.mark.parametrize(
        ("query", "type_", "message", "ctx"),
        [
            (("limit", "0"), "greater_than", "Input should be greater than 0", {"gt": 0}),
            (("limit", "101"), "less_than_equal", "Input should be less than or equal to 100", {"le": 100}),
            (
                ("limit", "abc"),
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer",
                None,
            ),
            (
                ("include_sub_conversations", "maybe"),
                "bool_parsing",
                "Input should be a valid boolean, unable to interpret input",
                None,
            ),
        ],
    )
    def test_speak_the_words_of_the_wire(
        self, query: tuple[str, str], type_: str, message: str, ctx: dict[str, Any] | None
    ) -> None:
        expected = {"type": type_, "loc": ["query", query[0]], "msg": message, "input": query[1]}
        assert problems("searchAppConversations", query=[query]) == [expected | ({"ctx": ctx} if ctx else {})]

    def test_missing_required_parameter(self) -> None:
        expected = {"type": "missing", "loc": ["query", "ids"], "msg": "Field required", "input": None}
        assert problems("batchGetAppConversations") == [expected]

    def test_an_id_that_is_no_uuid_is_named_by_its_place(self) -> None:
        (problem,) = problems("batchGetAppConversations", query=[("ids", UUID), ("ids", "nope")])
        assert (problem["type"], problem["loc"], problem["input"]) == (
            "uuid_parsing",
            ["query", "ids", 1],
            "nope",
        )

    @pytest.mark.parametrize(
        "text",
        [
            "notadate",
            "2026",
            "2026-11-20",
            "2026-02-29T00:00:00",
            "2100-02-29T00:00:00",
            "2026-04-31T00:00:00",
            "2026-13-01T00:00:00",
            "2026-01-01T24:00:00",
            "2026-01-01T00:00:00+24:00",
            "0001-01-01T00:00:00+12:00",
            "2026-01-01T00:00:00Z\n",
        ],
    )
    def test_points_in_time_must_exist(self, text: str) -> None:
        (problem,) = problems("countAppConversations", query=[("created_at__gte", text)])
        assert problem["type"] == "datetime_from_date_parsing"

    @pytest.mark.parametrize(
        "text",
        [
            "2026-11-20T23:15:10.941887Z",
            "2026-11-20T23:15:10",
            "2026-11-20T23:15:10+08:00",
            "2024-02-29T00:00:00",
            "2000-02-29T23:59:59.9",
        ],
    )
    def test_points_in_time_may_lack_an_offset(self, text: str) -> None:
        request = validate("countAppConversations", query=[("created_at__gte", text)])
        assert request.query["created_at__gte"] == text

    def test_one_value_twice_is_refused(self) -> None:
        (problem,) = problems("searchAppConversations", query=[("limit", "1"), ("limit", "2")])
        assert (problem["type"], problem["input"]) == ("int_type", ["1", "2"])

    def test_json_in_the_query_must_be_json(self) -> None:
        (problem,) = problems("searchConversationEvents", query=[("filter", "{")])
        assert (problem["type"], problem["loc"]) == ("json_invalid", ["query", "filter", 1])

    def test_upper_case_values_of_an_enumeration_are_others(self) -> None:
        (problem,) = problems("listConversations", query=[("conversation_trigger", "GUI")])
        assert problem["type"] == "enum"
        assert problem["ctx"]["expected"].endswith("'linear' or 'bitbucket'")

    def test_all_problems_are_told_at_once(self) -> None:
        query = [("limit", "0"), ("created_at__gte", "x")]
        assert {p["loc"][1] for p in problems("searchAppConversations", query=query)} == {
            "limit",
            "created_at__gte",
        }


class TestRefusalsOfTheirOwn:
    @pytest.mark.parametrize(
        ("identifier", "detail"),
        [
            ("x" * 101, "Conversation ID is too long"),
            ("a\0b", "Conversation ID contains invalid characters"),
            ("a..b", "Conversation ID contains invalid path characters"),
            ("../etc", "Conversation ID contains invalid path characters"),
            ("a/b", "Conversation ID contains invalid path characters"),
            ("a\\b", "Conversation ID contains invalid path characters"),
            ("a\nb", "Conversation ID contains control characters"),
            ("a\n", "Conversation ID contains control characters"),
        ],
    )
    def test_conversation_ids(self, identifier: str, detail: str) -> None:
        refused = refusal("getConversation", path={"conversation_id": identifier})
        assert (refused.status, refused.body) == (400, {"detail": detail})

    @pytest.mark.parametrize("identifier", ["x" * 100, "conv_1.2", "ünï", "a b", "?", DASHED])
    def test_conversation_ids_need_not_be_uuids(self, identifier: str) -> None:
        assert validate("getConversation", path={"conversation_id": identifier}).path == {
            "conversation_id": identifier
        }

    @pytest.mark.parametrize("limit", ["0", "101", "-1"])
    def test_limit_of_v0_events(self, limit: str) -> None:
        refused = refusal("searchConversationEvents", query=[("limit", limit)])
        assert (refused.status, refused.body) == (400, {"detail": "Invalid limit"})

    def test_limit_of_v0_events_that_is_no_number(self) -> None:
        assert problems("searchConversationEvents", query=[("limit", "many")])[0]["type"] == "int_parsing"


class TestBodies:
    def test_is_returned_as_sent(self) -> None:
        assert validate("createConversation", json_body={"repository": None}).body == {"repository": None}

    def test_is_ignored_where_none_is_described(self) -> None:
        assert validate("stopConversation", body=b"anything", content_type=None).body is None

    def test_may_be_left_out_where_it_is_optional(self) -> None:
        assert validate("startConversation", content_type=None).body is None

    def test_missing(self) -> None:
        expected = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
        assert problems("createConversation", content_type=None) == [expected]

    @pytest.mark.parametrize("media_type", ["application/JSON; charset=utf-8", "application/problem+json"])
    def test_kinds_of_json(self, media_type: str) -> None:
        assert validate("createConversation", body=b"{}", content_type=media_type).body == {}

    @pytest.mark.parametrize("media_type", [None, "", "text/plain", "application/x-www-form-urlencoded"])
    def test_not_declared_as_json(self, media_type: str | None) -> None:
        refused = refusal("createConversation", body=b"{}", content_type=media_type)
        assert refused.status == 415
        assert isinstance(refused.body["detail"], str)

    @pytest.mark.parametrize(
        ("body", "loc", "error"),
        [
            (b'{"a":', ["body", 5], "Expecting value"),
            (b"\xff", ["body", 0], "the body is not UTF-8"),
            (b'{"title": NaN}', ["body"], "NaN is not JSON"),
            (b'{"title": 1e999}', ["body"], "number out of range"),
            (b'{"title": "\\ud800"}', ["body"], "lone surrogate in a string"),
            (b'{"\\udfff": 1}', ["body"], "lone surrogate in a string"),
            (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", ["body"], "nested too deeply"),
        ],
    )
    def test_not_json(self, body: bytes, loc: list[Any], error: str) -> None:
        expected = {"type": "json_invalid", "loc": loc, "msg": "JSON decode error", "input": {}}
        assert problems("startAppConversation", body=body) == [expected | {"ctx": {"error": error}}]

    @pytest.mark.parametrize("body", [b"[" * 200_000, b'{"pr_number": [' + b"9" * 5000 + b"]}"])
    def test_hostile_json(self, body: bytes) -> None:
        assert problems("startAppConversation", body=body)[0]["type"] == "json_invalid"

    @pytest.mark.parametrize(
        ("operation", "body", "expected"),
        [
            (
                "createConversation",
                [],
                {
                    "type": "model_attributes_type",
                    "loc": ["body"],
                    "msg": "Input should be a valid dictionary or object to extract fields from",
                    "input": [],
                },
            ),
            (
                "createConversation",
                {"git_provider": "GITHUB"},
                {
                    "type": "enum",
                    "loc": ["body", "git_provider"],
                    "msg": f"Input should be {PROVIDERS}",
                    "input": "GITHUB",
                    "ctx": {"expected": PROVIDERS},
                },
            ),
            (
                "createConversation",
                {"foo": 1},
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "foo"],
                    "msg": "Extra inputs are not permitted",
                    "input": 1,
                },
            ),
            (
                "createConversation",
                {"initial_user_msg": 5},
                {
                    "type": "string_type",
                    "loc": ["body", "initial_user_msg"],
                    "msg": "Input should be a valid string",
                    "input": 5,
                },
            ),
            (
                "updateConversation",
                {"title": ""},
                {
                    "type": "string_too_short",
                    "loc": ["body", "title"],
                    "msg": "String should have at least 1 character",
                    "input": "",
                    "ctx": {"min_length": 1},
                },
            ),
            (
                "updateConversation",
                {"title": "x" * 201},
                {
                    "type": "string_too_long",
                    "loc": ["body", "title"],
                    "msg": "String should have at most 200 characters",
                    "input": "x" * 201,
                    "ctx": {"max_length": 200},
                },
            ),
            (
                "startConversation",
                {"providers_set": ["GITHUB"]},
                {
                    "type": "enum",
                    "loc": ["body", "providers_set", 0],
                    "msg": f"Input should be {PROVIDERS}",
                    "input": "GITHUB",
                    "ctx": {"expected": PROVIDERS},
                },
            ),
            (
                "startAppConversation",
                {"initial_message": "hi"},
                {
                    "type": "model_attributes_type",
                    "loc": ["body", "initial_message"],
                    "msg": "Input should be a valid dictionary or object to extract fields from",
                    "input": "hi",
                },
            ),
            (
                "startAppConversation",
                {"initial_message": {"role": "robot"}},
                {
                    "type": "literal_error",
                    "loc": ["body", "initial_message", "role"],
                    "msg": "Input should be 'user', 'system', 'assistant' or 'tool'",
                    "input": "robot",
                    "ctx": {"expected": "'user', 'system', 'assistant' or 'tool'"},
                },
            ),
            (
                "startAppConversation",
                {"initial_message": {"content": "plain"}},
                {
                    "type": "list_type",
                    "loc": ["body", "initial_message", "content"],
                    "msg": "Input should be a valid list",
                    "input": "plain",
                },
            ),
            (
                "startAppConversation",
                {"pr_number": ["1"]},
                {
                    "type": "int_parsing",
                    "loc": ["body", "pr_number", 0],
                    "msg": "Input should be a valid integer, unable to parse string as an integer",
                    "input": "1",
                },
            ),
            (
                "addConversationEvent",
                {"action": "browse", "args": []},
                {
                    "type": "dict_type",
                    "loc": ["body", "args"],
                    "msg": "Input should be a valid dictionary",
                    "input": [],
                },
            ),
            (
                "addConversationEvent",
                {"action": "message", "args": {}},
                {"type": "missing", "loc": ["body", "args", "content"], "msg": "Field required", "input": {}},
            ),
        ],
    )
    def test_speak_the_words_of_the_wire(self, operation: str, body: Any, expected: dict[str, Any]) -> None:
        assert problems(operation, json_body=body) == [expected]

    def test_every_missing_field_is_named(self) -> None:
        found = problems("createConversation", json_body={"suggested_task": {}})
        assert [p["loc"][-1] for p in found] == ["git_provider", "task_type", "repo", "issue_number", "title"]
        assert {p["type"] for p in found} == {"missing"}

    def test_an_unknown_action_is_told_all_the_known_ones(self) -> None:
        (problem,) = problems("addConversationEvent", json_body={"action": "nope"})
        assert problem["loc"] == ["body", "action"]
        assert "'message'" in problem["msg"]
        assert "'think'" in problem["msg"]

    def test_an_unknown_kind_of_content_is_told_both_known_ones(self) -> None:
        body = {"content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}
        (problem,) = problems("sendEvent", server="agent-server", json_body=body)
        assert problem["loc"] == ["body", "content", 0, "type"]
        assert problem["msg"] == "Input should be 'text' or 'image'"

    def test_an_unknown_operation_is_the_callers_mistake(self) -> None:
        with pytest.raises(KeyError):
            validate("createUniverse")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    *("title", "repository", "git_provider", "suggested_task", "mcp_config", "sse_servers", "providers_set"),
    *(
        "action",
        "args",
        "message",
        "content",
        "initial_message",
        "role",
        "type",
        "text",
        "pr_number",
        "accept",
    ),
)
likely_bodies = st.dictionaries(
    st.sampled_from(FIELDS),
    json_values | st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3),
    max_size=4,
)
query_pairs = st.tuples(
    st.sampled_from(["limit", "ids", "id", "filter", "page_id", "created_at__gte", "reverse", "kind__eq"]),
    st.sampled_from(["1", "true", UUID, "{}", "MessageEvent", "2026-01-01T00:00:00Z"]) | st.text(),
)


@given(
    operation=st.sampled_from(OPERATIONS),
    path=st.fixed_dictionaries(
        {name: st.text() | st.just(UUID) for name in ("conversation_id", "sandbox_id", "event_id")}
    ),
    query=st.lists(query_pairs, max_size=4),
    content_type=st.sampled_from(["application/json", "text/plain", None]) | st.text(),
    body=st.binary() | (likely_bodies | json_values).map(lambda value: json.dumps(value).encode()),
)
def test_any_request_is_accepted_or_refused_in_documented_form(
    operation: tuple[DocumentName, str],
    path: dict[str, str],
    query: list[tuple[str, str]],
    content_type: str | None,
    body: bytes,
) -> None:
    server, operation_id = operation
    request = attempt(
        operation_id, server=server, path=path, query=query, content_type=content_type, body=body
    )
    if isinstance(request, ValidRequest):
        return
    assert request.status in {400, 415, 422}
    json.dumps(request.body, allow_nan=False).encode()
    if request.status == 422:
        for problem in request.body["detail"]:
            assert problem.keys() - {"ctx"} == {"type", "loc", "msg", "input"}
            assert problem["loc"][0] in {"path", "query", "header", "body"}
    else:
        assert isinstance(request.body["detail"], str)


@given(
    operation=st.sampled_from(["createConversation", "startAppConversation", "addConversationEvent"]),
    body=likely_bodies,
)
def test_bodies_are_judged_as_another_implementation_of_json_schema_does(
    operation: str, body: dict[str, Any]
) -> None:
    document = load("app-server")
    schema = next(
        described["requestBody"]["content"]["application/json"]["schema"]
        for item in document["paths"].values()
        for described in item.values()
        if isinstance(described, dict) and described.get("operationId") == operation
    )
    other = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    request = attempt(operation, body=json.dumps(body).encode())
    assert isinstance(request, ValidRequest) == other.is_valid(body)


@given(st.text(min_size=1, max_size=100))
def test_the_pattern_of_conversation_ids_says_what_the_refusals_say(text: str) -> None:
    bad = ".." in text or any(character in "/\\" or character < " " for character in text)
    request = attempt("getConversation", path={"conversation_id": text})
    assert isinstance(request, RequestInvalid) == bad
    if isinstance(request, RequestInvalid):
        assert request.status == 400


@pytest.mark.parametrize("key", ["8", "08", "+8", "-8", "8.0", "\N{FULLWIDTH DIGIT EIGHT}"])
def test_a_key_that_looks_like_a_number_is_named_as_it_is(key: str) -> None:
    schema = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
    errors = jsonschema_rs.validator_for(schema).iter_errors({"a": ["b"], key: ["c", 5]})
    found = items(errors, ("body",), {"a": ["b"], key: ["c", 5]}, schema)
    assert [one["loc"] for one in found] == [["body", key, 1]]
