"""Pages of a list: at most so many at once, and an opaque cursor that the next request gives back. Pure."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from streamer.api.errors import CursorInvalid

T = TypeVar("T")

MOST = 500
USUAL = 100

Limit = Annotated[int, Query(ge=1, le=MOST, description="how many at most")]
After = Annotated[str | None, Query(max_length=400, description="`next` of the page before; left out: the first page")]


def cursor_of(*position: str | float) -> str:
    """Where a page ended, for a URL as it stands."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def page_of(
    left: Sequence[T], limit: int, position: Callable[[T], tuple[str | float, ...]]
) -> tuple[Sequence[T], str | None]:
    """The first `limit` of what is left, and the cursor of the page after it; None: there is none."""
    return left[:limit], cursor_of(*position(left[limit - 1])) if len(left) > limit else None


def position_of(cursor: str, *kinds: type[str] | type[float] | type[int]) -> list[str | float]:
    """What cursor_of() was given. Raises CursorInvalid."""
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        found = None
    if not isinstance(found, list) or [type(value) for value in found] != list(kinds):
        raise CursorInvalid("`after` is no cursor of this list; give the `next` of the page before as it was, or none")
    return found
