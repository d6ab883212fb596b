"""The page at `/docs`: every operation of the document on one self-contained page, ready to be tried."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple

_METHODS = ("get", "post", "put", "patch", "delete")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
h2 { border-bottom: 1px solid #ddd; margin-top: 2.5rem }
h3 { font-size: 1rem }
code, pre, input, textarea { font: 13px/1.5 ui-monospace, monospace }
code { background: #f3f3f3; padding: 0 .2rem }
summary { cursor: pointer; padding: .3rem 0 }
summary code { background: none }
form { border-left: 3px solid #ddd; margin: .5rem 0 1.5rem; padding-left: 1rem }
pre { background: #f6f6f6; margin: .5rem 0; padding: .8rem; overflow-x: auto; white-space: pre-wrap }
table { border-collapse: collapse; margin: .5rem 0; width: 100% }
td, th { border: 1px solid #ddd; padding: .2rem .6rem; text-align: left; vertical-align: top }
input { width: 14rem }
textarea { box-sizing: border-box; height: 7rem; width: 100% }
.method { display: inline-block; font-weight: 600; min-width: 4.5rem; text-transform: uppercase }
"""
_SCRIPT = """
document.addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target, answer = form.querySelector('output'), query = new URLSearchParams();
  let path = form.dataset.path;
  for (const field of form.querySelectorAll('input[data-in]')) {
    if (field.dataset.in === 'path') path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    else if (field.value) field.value.split(',').forEach((one) => query.append(field.name, one.trim()));
  }
  const key = document.getElementById('key').value, body = form.querySelector('textarea');
  const headers = key ? {'X-Session-API-Key': key} : {};
  if (body) headers['Content-Type'] = 'application/json';
  const target = mountedAt + path + (query.size ? `?${query}` : ''), method = form.dataset.method.toUpperCase();
  const pre = document.createElement('pre');
  try {
    const reply = await fetch(target, {method, headers, body: body ? body.value : undefined});
    let text = await reply.text();
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
    pre.textContent = `${method} ${target}\\n${reply.status} ${reply.statusText}\\n\\n${text}`;
  } catch (failure) {
    pre.textContent = `${method} ${target}\\n${failure}`;
  }
  answer.replaceChildren(pre);
});
"""


class _Operation(NamedTuple):
    method: str
    path: str
    parameters: list[Mapping[str, Any]]
    node: Mapping[str, Any]


def docs_page(document: Mapping[str, Any], mounted_at: str = "") -> str:
    """The page, as HTML; `mounted_at` is what comes before the document's paths."""
    info = document["info"]
    title = escape(info["title"])
    sections = "".join(_section(document, tag) for tag in document["tags"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p>{escape(info.get("summary", ""))} Machine-readable: <a href="openapi.json">openapi.json</a>.</p>'
        f"<details><summary>About this API</summary>{_prose(info.get('description', ''))}</details>"
        '<p><label>Session API key, where one is wanted: <input id="key" autocomplete="off"></label></p>'
        f"{sections}<script>const mountedAt = {json.dumps(mounted_at)};{_SCRIPT}</script></body></html>"
    )


def _section(document: Mapping[str, Any], tag: Mapping[str, Any]) -> str:
    operations = "".join(
        _details(document, one) for one in _operations(document) if tag["name"] in one.node["tags"]
    )
    return f"<h2>{escape(tag['name'])}</h2>{_prose(tag.get('description', ''))}{operations}"


def _operations(document: Mapping[str, Any]) -> Iterator[_Operation]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                nodes = [*item.get("parameters", []), *item[method].get("parameters", [])]
                yield _Operation(method, path, [_resolve(document, one) for one in nodes], item[method])


def _details(document: Mapping[str, Any], operation: _Operation) -> str:
    node = operation.node
    answers = "".join(
        f"<tr><td>{status}</td><td>{_inline(_resolve(document, answer).get('description', ''))}</td></tr>"
        for status, answer in node["responses"].items()
    )
    return (
        f'<details id="{node["operationId"]}"><summary><span class="method">{operation.method}</span>'
        f"<code>{escape(operation.path)}</code> — {_inline(node.get('summary', ''))}</summary>"
        f"{_prose(node.get('description', ''))}{_form(document, operation)}"
        f"<table><tr><th>answer</th><th>meaning</th></tr>{answers}</table></details>"
    )


def _form(document: Mapping[str, Any], operation: _Operation) -> str:
    """Fields for the parameters and the body, and a button. Files cannot be sent from here."""
    rows = "".join(
        f'<tr><td><code>{escape(one["name"])}</code></td><td><input name="{escape(one["name"])}" '
        f'data-in="{one["in"]}" placeholder="{one["in"]}"{" required" if one.get("required") else ""}></td>'
        f"<td>{_inline(one.get('description', ''))}</td></tr>"
        for one in operation.parameters
        if one["in"] in ("path", "query")
    )
    contents = _resolve(document, operation.node.get("requestBody", {})).get("content", {})
    if contents and "application/json" not in contents:
        return f"<p>Takes {escape(', '.join(contents))}.</p>"
    body = f"<textarea>{escape(_example(contents['application/json']))}</textarea>" if contents else ""
    return (
        f'<form data-method="{operation.method}" data-path="{escape(operation.path)}">'
        f"{f'<table>{rows}</table>' if rows else ''}{body}<button>Send</button><output></output></form>"
    )


def _example(content: Mapping[str, Any]) -> str:
    examples = [one.get("value") for one in content.get("examples", {}).values()]
    return json.dumps(content.get("example", examples[0] if examples else {}), indent=2, ensure_ascii=False)


def _prose(markdown: str) -> str:
    """The little Markdown that the documents use: headings, paragraphs and lists."""
    html = ""
    for block in re.split(r"\n\s*\n", markdown.strip()):
        if block.startswith("#"):
            html += f"<h3>{_inline(block.lstrip('# '))}</h3>"
        elif re.match(r"[*-] ", block):
            items = re.split(r"^[*-] ", block, flags=re.MULTILINE)[1:]
            html += "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        elif block:
            html += f"<p>{_inline(block)}</p>"
    return html


def _inline(text: str) -> str:
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    html = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", html)
    return re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*", r"<i>\1</i>", html)


def _resolve(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = node.get("$ref")
    if reference is None:
        return node
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return _resolve(document, found)
