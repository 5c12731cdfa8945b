"""SDP that was good, and is so no more: lines lost, doubled, moved, changed, cut, filled. Deterministic by seed."""

import random
from pathlib import Path

CHROMIUM = (Path(__file__).parent / "offers" / "chromium.sdp").read_bytes().decode()

_VALUES = ("", "0", "-1", "65536", "4294967296", "9" * 40, "a" * 300, "x:y", "é\x00", "*", "96/90000", "apt=96", "/")


def mutated(text: str, seed: int) -> str:
    """The same text, changed in one to six ways."""
    rng = random.Random(seed)
    lines = text.splitlines()
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(lines))
        kind = rng.randrange(7)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(rng.randrange(len(lines)), lines[at])
        elif kind == 2:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        elif kind == 3:
            head, colon, _ = lines[at].partition(":")
            lines[at] = head + colon + rng.choice(_VALUES)
        elif kind == 4:
            words = lines[at].split(" ")
            words[rng.randrange(len(words))] = rng.choice(_VALUES)
            lines[at] = " ".join(words)
        elif kind == 5:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + chr(rng.randrange(1, 300)) + lines[at][place + 1 :]
        if not lines:
            return ""
    return "\r\n".join([*lines, ""])
