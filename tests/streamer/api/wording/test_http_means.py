"""What commands would do is told as the request that does it; what only a command does stays one."""

import pytest

from streamer.api.wording.http_means import over_http


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("take the largest with --pick largest", "take the largest with `pick=largest`"),
        ("or use --force if this is another person", "or send `force=true` if this is another person"),
        (
            "nobody called 'x' is enrolled; see whosthere people list",
            "nobody called 'x' is enrolled; see GET /api/v1/people",
        ),
        ("p1 is enrolled already; see whosthere people show p1", "p1 is enrolled already; see GET /api/v1/people/p1"),
        ("see whosthere people photos p1 for the numbers", "see GET /api/v1/people/p1/photos for the numbers"),
        (
            "p1 has no negative 3; see whosthere people show p1 for the numbers",
            "p1 has no negative 3; see GET /api/v1/people/p1/negatives for the numbers",
        ),
        (
            "take it away first: whosthere people remove-photo p1 3",
            "take it away first: DELETE /api/v1/people/p1/photos/3",
        ),
        (
            "there is no spec of this name; see whosthere models list",
            "there is no spec of this name; see GET /api/v1/models",
        ),
        (
            "hidden (`whosthere cameras reset door` undoes that)",
            "hidden (`POST /api/v1/cameras/door/reset` undoes that)",
        ),
        ("change it by `whosthere cameras set door url=...`", "change it by `PUT /api/v1/cameras/door`"),
        ("`whosthere events --since 8h` lists those", "`GET /api/v1/events` lists those"),
        ("restore it: whosthere gallery restore FILE", "restore it: whosthere gallery restore FILE"),
        ("whosthere gallery reindex", "whosthere gallery reindex"),
    ],
)
def test_commands_are_told_as_requests(line, told):
    assert over_http(line) == told
