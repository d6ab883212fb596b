"""A request for every operation, made from the document: nothing about it is wrong but what a check changes.

Values are the document's own examples, except that whatever they name does not exist: should a server do what it
ought to refuse, then nothing that anybody has is touched.
"""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from openhands_contract.contract_document import Document
from openhands_contract.lab.bench import Answer, Api

_JSON = "application/json"
_FORM = "multipart/form-data"


@dataclass(frozen=True)
class Plausible:
    """A request that is as the document wants it.

    Attributes:
        operation: the operation's id.
        tag: what it is about.
        open: whether the document wants no key for it.
        json: its body, where it takes JSON.
        form: the field of its file, where it takes one.
    """

    operation: str
    tag: str
    open: bool
    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: str | None = None

    @property
    def takes_json(self) -> bool:
        return self.json is not None

    def send(self, api: Api, **options: Any) -> Answer:
        """Send it; options as in `Wire.send` replace what it brings along."""
        brought: dict[str, Any] = {"query": self.query or None}
        if self.form is not None:
            brought["files"] = [(self.form, ("kit.txt", b"content", "text/plain"))]
        elif self.takes_json and "content" not in options:
            brought["json"] = self.json
        return api.request(self.method, self.path, **{**brought, **options})


def requests_of(document: Document, conversation_id: str | None = None) -> Iterator[Plausible]:
    """A request for each operation of a document, in its order.

    Args:
        conversation_id: the conversation to name, for requests that will be refused anyway.
    """
    for identifier, (method, template) in document.operations.items():
        item = document.content["paths"][template]
        described = item[method.lower()]
        parameters = [
            document.resolved(one) for one in (*item.get("parameters", []), *described.get("parameters", []))
        ]
        required = [one for one in parameters if one.get("required")]
        path = template
        for one in required:
            if one["in"] == "path":
                path = path.replace(f"{{{one['name']}}}", quote(str(_value(one, conversation_id)), safe=""))
        security = described.get("security", document.content.get("security", []))
        body, form = _body(document, described)
        yield Plausible(
            operation=identifier,
            tag=described["tags"][0],
            open=not any(security),
            method=method,
            path=path,
            query={one["name"]: _value(one, conversation_id) for one in required if one["in"] == "query"},
            json=body,
            form=form,
        )


def _value(parameter: Mapping[str, Any], conversation_id: str | None) -> Any:
    """What to put for a parameter: something that does not exist, where it names something."""
    match parameter["name"]:
        case "conversation_id":
            return conversation_id or uuid.uuid4().hex
        case "secret_name":
            return f"KIT_{secrets.token_hex(6).upper()}"
        case "sandbox_id":
            return secrets.token_hex(11)
        case "path" if parameter["in"] == "path":
            return f"/workspace/kit-{secrets.token_hex(6)}"
    return parameter.get("example", "kit")


def _body(document: Document, described: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The JSON body of an operation, or the field of its form."""
    content = document.resolved(described.get("requestBody", {})).get("content", {})
    if _JSON in content:
        return _harmless(described["operationId"], copy.deepcopy(content[_JSON].get("example", {}))), None
    if _FORM in content:
        properties = document.resolved(content[_FORM]["schema"]).get("properties", {})
        return None, next(iter(properties), "file")
    return None, None


def _harmless(operation: str, body: Any) -> Any:
    match operation:
        case "storeSettings":
            return {}
        case "createSecret" | "updateSecret":
            return {**body, "name": f"KIT_{secrets.token_hex(6).upper()}"}
        case "startBashCommand" | "executeBashCommand":
            return {"command": "true"}
    if isinstance(body, dict) and "conversation_id" in body:
        return {**body, "conversation_id": uuid.uuid4().hex}
    return body
