"""The OpenAPI document in, one HTML page out; no script and nothing loaded from elsewhere.

FastAPI's own pages fetch their code from a CDN: blank where there is no internet, and foreign code in the
origin of a service that knows faces.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from typing import Any

from streamer.api.contract.curl_lines import curl_line
from streamer.api.contract.schema_rows import Row, example_of, pointed_to, rows_of

Document = dict[str, Any]

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c2024}
code,pre{font-size:.92em} pre{background:#f4f5f7;white-space:pre-wrap;overflow-wrap:anywhere;padding:.6rem .8rem;
margin:.4rem 0}
h2{margin:2.5rem 0 .5rem;border-bottom:2px solid #d5d9de} h3{margin:1rem 0 .2rem;font-size:1rem}
table{border-collapse:collapse;width:100%} th,td{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}
th{font-weight:600;border-bottom:1px solid #d5d9de} td{border-bottom:1px solid #eceef1}
nav a{display:block;text-decoration:none} nav table td:first-child{white-space:nowrap;font-weight:600}
details{border:1px solid #d5d9de;border-radius:.4rem;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer} b{display:inline-block;min-width:4.2rem} p{margin:.5rem 0}
small{color:#5b6470}"""
# The page's own style and nothing else.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_ROW_OF_NUMBERS = re.compile(r"\[[\s\d.,eE+-]*\]")
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
<h1>{title} <small>{version}</small></h1>
<p>Machine-readable: <a href="/openapi.json">OpenAPI</a>. Errors are RFC 9457 problem documents with a stable
<code>code</code>. Where a token is wanted it is sent as <code>Authorization: Bearer TOKEN</code>. A path opens at a
click.</p>
<nav><table>{contents}</table></nav>
{groups}
</html>
"""


def page(document: Document) -> str:
    """Every operation of an OpenAPI document, by tag: parameters, body, answers, and an example of each."""
    groups: dict[str, list[tuple[str, str, Document]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation.get("tags", ["other"])[0], []).append((method.upper(), path, operation))
    info = document["info"]
    return _PAGE.format(
        title=escape(info["title"]),
        version=escape(info["version"]),
        style=_STYLE,
        contents="".join(_contents(tag, operations) for tag, operations in groups.items()),
        groups="\n".join(_group(tag, operations, document) for tag, operations in groups.items()),
    )


def _anchor(*words: str) -> str:
    return "-".join(re.findall(r"\w+", " ".join(words).lower()))


def _contents(tag: str, operations: Iterable[tuple[str, str, Document]]) -> str:
    links = "".join(
        f'<a href="#{_anchor(method, path)}"><code><b>{method}</b>{escape(path)}</code></a>'
        for method, path, _ in operations
    )
    return f'<tr><td><a href="#{_anchor(tag)}">{escape(tag)}</a></td><td>{links}</td></tr>'


def _group(tag: str, operations: Iterable[tuple[str, str, Document]], document: Document) -> str:
    shown = "\n".join(_operation(*one, document) for one in operations)
    return f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>\n{shown}'


def _operation(method: str, path: str, operation: Document, document: Document) -> str:
    description = str(operation.get("description", operation.get("summary", "")))
    first, _, rest = description.partition("\n\n")
    parts = [
        f"<p>{_with_code(rest)}</p>" if rest else "",
        "<p>Wants a token.</p>" if operation.get("security") else "",
        _parameters(operation.get("parameters", [])),
        _asked(method, path, operation, document),
        _answers(operation["responses"], document),
    ]
    return (
        f'<details id="{_anchor(method, path)}"><summary><code><b>{method}</b>{escape(path)}</code>'
        f"<br>{_with_code(first)}</summary>{''.join(parts)}</details>"
    )


def _parameters(parameters: list[Document]) -> str:
    rows = [
        Row.of(one["name"], one["schema"], one.get("description"), one.get("required", False), one["in"])
        for one in parameters
    ]
    return f"<h3>Parameters</h3>{_table(rows)}" if rows else ""


def _asked(method: str, path: str, operation: Document, document: Document) -> str:
    """What a request's body has, of each kind that it may be, and the line of curl that sends it."""
    bodies = operation.get("requestBody", {}).get("content", {})
    if not bodies:
        return _example(curl_line(method, path, operation, None, None, document))
    shown = ""
    for kind, content in bodies.items():
        rows = rows_of(content.get("schema", {}), document)
        line = curl_line(method, path, operation, kind, example_of(content, document), document)
        shown += f"<h3>Body: <code>{escape(kind)}</code></h3>{_table(rows)}{_example(line)}"
    return shown


def _answers(answers: Document, document: Document) -> str:
    rows = ""
    shown = ""
    for status, answer in answers.items():
        answer = pointed_to(answer, document)
        rows += f"<tr><td><code>{escape(status)}</code></td><td>{_with_code(answer['description'])}</td></tr>"
        if status.startswith("2"):
            for kind, content in answer.get("content", {}).items():
                shown += f"<h3>Answer {escape(status)}: <code>{escape(kind)}</code></h3>"
                shown += _table(rows_of(content.get("schema", {}), document))
                shown += _example(example_of(content, document))
    return f"{shown}<h3>Statuses</h3><table>{rows}</table>"


def _table(rows: list[Row]) -> str:
    if not rows:
        return ""
    shown = "".join(
        f"<tr><td><code>{escape(row.name)}</code></td><td>{escape(row.kind)}{_small(row.place)}</td>"
        f"<td>{'required' if row.required else escape(row.default)}</td><td>{_with_code(row.description)}</td></tr>"
        for row in rows
    )
    return f"<table><tr><th>name</th><th>type</th><th>default</th><th></th></tr>{shown}</table>"


def _small(place: str) -> str:
    return f" <small>{escape(place)}</small>" if place else ""


def _with_code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _example(example: Any) -> str:  # noqa: ANN401 - JSON
    if example is None:
        return ""
    text = (
        example
        if isinstance(example, str)
        else _ROW_OF_NUMBERS.sub(
            lambda row: re.sub(r"\s+", " ", row[0]), json.dumps(example, indent=2, ensure_ascii=False)
        )
    )
    return f"<pre>{escape(text)}</pre>"
