"""An event as its row of the outbox holds it. Pure."""

from streamer.events.event import NAMES, IdentityEvent


def text_of(event: IdentityEvent, **seconds: float | None) -> str:
    """As JSON, without names, with these readings of the file's clock; whoever reads an event ignores keys that are
    none of its own.
    """
    text = event.model_dump_json(by_alias=True, exclude=dict(NAMES))
    known = "".join(f',"{key}":{value!r}' for key, value in seconds.items() if value is not None)
    return f"{text[:-1]}{known}}}"
