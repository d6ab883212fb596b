"""The page at `/docs`: every operation of the document on one self-contained page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 56rem; padding: 0 1rem; color: #222 }
h2 { border-bottom: 1px solid #ddd; margin-top: 2.5rem }
code { font: 13px ui-monospace, monospace }
summary { cursor: pointer; padding: .3rem 0 }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; white-space: pre-wrap }
table { border-collapse: collapse; margin: .5rem 0 }
td, th { border: 1px solid #ddd; padding: .2rem .6rem; text-align: left; vertical-align: top }
.method { display: inline-block; font-weight: 600; min-width: 4.5rem; text-transform: uppercase }
"""


def docs_page(document: Mapping[str, Any]) -> str:
    """The page, as HTML."""
    info = document["info"]
    title = escape(info["title"])
    sections = "".join(_section(document, tag) for tag in document["tags"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p>{escape(info.get("summary", ""))} Machine-readable: <a href="openapi.json">openapi.json</a>.</p>'
        f"<pre>{escape(info.get('description', ''))}</pre>{sections}</body></html>"
    )


def _section(document: Mapping[str, Any], tag: Mapping[str, Any]) -> str:
    operations = "".join(
        _operation(document, method, path, shared, operation)
        for method, path, shared, operation in _operations(document)
        if tag["name"] in operation["tags"]
    )
    return f"<h2>{escape(tag['name'])}</h2><p>{escape(tag.get('description', ''))}</p>{operations}"


def _operations(
    document: Mapping[str, Any],
) -> Iterator[tuple[str, str, list[Mapping[str, Any]], Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield method, path, item.get("parameters", []), item[method]


def _operation(
    document: Mapping[str, Any],
    method: str,
    path: str,
    shared: list[Mapping[str, Any]],
    operation: Mapping[str, Any],
) -> str:
    parameters = [_resolve(document, one) for one in [*shared, *operation.get("parameters", [])]]
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td>"
        f"<td>{escape(one.get('description', ''))}</td></tr>"
        for one in parameters
    )
    table = f"<table><tr><th>parameter</th><th>in</th><th>meaning</th></tr>{rows}</table>" if rows else ""
    answers = "".join(
        f"<tr><td>{status}</td><td>{escape(_resolve(document, answer).get('description', ''))}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f'<details id="{operation["operationId"]}"><summary><span class="method">{method}</span>'
        f"<code>{escape(path)}</code> — {escape(operation.get('summary', ''))}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p>{table}"
        f"<table><tr><th>answer</th><th>meaning</th></tr>{answers}</table></details>"
    )


def _resolve(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = node.get("$ref")
    if reference is None:
        return node
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return _resolve(document, found)
