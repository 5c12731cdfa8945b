import pytest

from streamer.api.contract.curl_lines import curl_line

TOKEN = '-H "Authorization: Bearer $TOKEN"'
FORM = {"properties": {"images": {"type": "array", "items": {"format": "binary"}}, "file": {"format": "binary"}}}


@pytest.mark.parametrize(
    ("method", "operation", "kind", "example", "line"),
    [
        ("GET", {}, None, None, 'curl "$WHOSTHERE/x"'),
        ("DELETE", {"security": [{}]}, None, None, f'curl -X DELETE {TOKEN} "$WHOSTHERE/x"'),
        ("POST", {}, None, None, 'curl -X POST "$WHOSTHERE/x"'),
        ("POST", {}, "application/json", {"a": "it's"}, """curl --json '{"a": "it'"'"'s"}' "$WHOSTHERE/x\""""),
        ("PUT", {}, "application/json", None, 'curl -X PUT --json @FILE "$WHOSTHERE/x"'),
        (
            "POST",
            {"requestBody": {"content": {"multipart/form-data": {"schema": FORM}}}},
            "multipart/form-data",
            {"name": "Ada Lovelace", "tags": ["a", "b"], "force": True},
            "curl -F 'name=Ada Lovelace' -F tags=a -F tags=b -F force=true -F images=@FILE "
            '-F file=@FILE "$WHOSTHERE/x"',
        ),
        (
            "POST",
            {"requestBody": {"content": {"multipart/form-data": {"schema": FORM | {"required": ["name", "images"]}}}}},
            "multipart/form-data",
            None,
            'curl -F name=NAME -F images=@FILE -F file=@FILE "$WHOSTHERE/x"',
        ),
        ("GET", {"responses": {"200": {"content": {"text/event-stream": {}}}}}, None, None, 'curl -N "$WHOSTHERE/x"'),
        ("GET", {"responses": {"200": {"content": {"image/jpeg": {}}}}}, None, None, 'curl -o FILE "$WHOSTHERE/x"'),
    ],
)
def test_the_line_asks_for_the_operation(method, operation, kind, example, line):
    assert curl_line(method, "/x", operation, kind, example, {}) == line
