"""The hint that a wrong name gets, whatever it is the name of: the one that was meant, else where to look.

Pure; names go in, the end of an error's line comes out.
"""

import difflib
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[\w.-]+", re.ASCII)


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """`; did you mean X?`, else `; otherwise`; capitals don't count, a part of a name will do (of the first one)."""
    by_key: dict[str, str] = {}
    for each in known:
        by_key.setdefault(each.casefold(), each)
    key = name.strip().casefold()
    near = difflib.get_close_matches(key, by_key, n=1)
    if not near and key:
        near = sorted(each for each in by_key if key in each)[:1]
    if not near:
        return f"; {otherwise}"
    meant = by_key[near[0]]
    return f"; did you mean {meant if _PLAIN.fullmatch(meant) else repr(meant)}?"
