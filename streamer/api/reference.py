"""The OpenAPI document in, one HTML page out; no script and nothing loaded from elsewhere.

FastAPI's own pages fetch their code from a CDN: blank where there is no internet, and foreign code in the
origin of a service that knows faces.
"""

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}
code{font-size:1.05em} li{margin:.2rem 0}"""
# The page's own style and nothing else.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
<h1>{title} <small>{version}</small></h1>
<p>Machine-readable: <a href="/openapi.json">OpenAPI</a>. Errors are RFC 9457 problem documents with a stable
<code>code</code>.</p>
{operations}
</html>
"""


def page(document: dict[str, Any]) -> str:
    """Every operation of an OpenAPI document: method, path, what it does, what it answers."""
    operations = "\n".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    info = document["info"]
    return _PAGE.format(
        title=escape(info["title"]), version=escape(info["version"]), style=_STYLE, operations=operations
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    description = escape(operation.get("description", operation.get("summary", "")))
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(answer['description'])}</li>"
        for status, answer in operation["responses"].items()
    )
    wants = "<p>Wants a token.</p>" if operation.get("security") else ""
    return f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2><p>{description}</p>{wants}<ul>{answers}</ul>"
