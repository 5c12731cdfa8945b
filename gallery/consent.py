"""What somebody agreed to, as it is told to us: words and a date in, a Consent out. Pure; the clock comes in."""

from datetime import date, datetime, time

from gallery.errors import ConsentInvalid
from gallery.people import Consent

LONGEST_TEXT = 1000


def until_of(text: str, now: float) -> float:
    """A day (to its end) or a moment, as ISO 8601 has it, local time where none is said -> Unix time in s.

    Raises ConsentInvalid where it can't be read, or is not after `now`.
    """
    written = text.strip()
    try:
        if len(written) <= len("2027-12-31"):
            moment = datetime.combine(date.fromisoformat(written), time(23, 59, 59))
        else:
            moment = datetime.fromisoformat(written)
        at = moment.timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConsentInvalid(
            f"{text!r} is no date; write it like 2027-12-31, or 2027-12-31T18:00 for a moment of that day"
        ) from None
    if at <= now:
        raise ConsentInvalid(f"{text!r} is past: a consent that is over is none; give a later date, or enrol nobody")
    return at


def changed(
    consent: Consent | None, now: float, *, by: str | None, purpose: str | None, until: float | None
) -> Consent:
    """The consent with what was told anew (None: as before); given now where whom it was told to or why is new.

    Raises ConsentInvalid where nobody has it, or nobody knows what for.
    """
    before = consent or Consent("", now, "")
    texts = [before.by if by is None else by.strip(), before.purpose if purpose is None else purpose.strip()]
    if not all(texts):
        raise ConsentInvalid(
            "a consent says whom it was given to and what for: give --consent-by and --consent-purpose"
        )
    if any(len(text) > LONGEST_TEXT or not text.isprintable() for text in texts):
        raise ConsentInvalid(f"a consent's words are one line of at most {LONGEST_TEXT} printable characters")
    anew = by is not None or purpose is not None
    return Consent(texts[0], now if anew else before.at, texts[1], before.expires_at if until is None else until)
