"""An error's line in, as commands say it too; the same out with what a request can do in place of commands. Pure.

Commands and routes raise the same errors. What has no request (`whosthere gallery restore`) stays a command.
"""

import re
from typing import Annotated

from pydantic import AfterValidator

_NAME = r"([^\s`,;:)]+)"
_MEANS = [
    (re.compile(pattern), means)
    for pattern, means in (
        (r"--pick largest", "`pick=largest`"),
        (r"use --force", "send `force=true`"),
        (rf"(has no negative .*)whosthere people show {_NAME}", r"\1GET /api/v1/people/\2/negatives"),
        (r"whosthere people list", "GET /api/v1/people"),
        (rf"whosthere people show {_NAME}", r"GET /api/v1/people/\1"),
        (rf"whosthere people photos {_NAME}", r"GET /api/v1/people/\1/photos"),
        (rf"whosthere people remove-photo {_NAME} {_NAME}", r"DELETE /api/v1/people/\1/photos/\2"),
        (rf"whosthere people set {_NAME} --external-id", r"PATCH /api/v1/people/\1 with external_id"),
        (r"with people set --external-id none", "by PATCH /api/v1/people/PERSON with external_id null"),
        (r"whosthere people set", "PATCH /api/v1/people/PERSON with threshold"),
        (r"whosthere people rename", "PATCH /api/v1/people/PERSON with name"),
        (r"whosthere people merge", "POST /api/v1/people/PERSON/merge"),
        (r"whosthere people not --undo", "DELETE /api/v1/people/PERSON/negatives/ID"),
        (r"--fpir", "`fpir`"),
        (r"(?:run )?whosthere calibrate again", "POST /api/v1/calibration again"),
        (r"whosthere models list", "GET /api/v1/models"),
        (r"whosthere cameras list", "GET /api/v1/cameras"),
        (rf"whosthere cameras reset {_NAME}", r"POST /api/v1/cameras/\1/reset"),
        (rf"whosthere cameras remove {_NAME}", r"DELETE /api/v1/cameras/\1"),
        (rf"whosthere cameras set {_NAME} url=\.\.\.", r"PUT /api/v1/cameras/\1"),
        (r"whosthere events --since 8h", "GET /api/v1/events"),
    )
]


def over_http(line: str) -> str:
    """The line with each command that has a request said as that request."""
    for command, means in _MEANS:
        line = command.sub(means, line)
    return line


# Of a document that commands print, too.
LineOverHttp = Annotated[str, AfterValidator(over_http)]
