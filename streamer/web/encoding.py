"""Whether a client takes an answer packed by gzip, by its Accept-Encoding (RFC 9110, 12.5.3). Pure."""

from starlette.datastructures import Headers


def takes_gzip(headers: Headers) -> bool:
    """`gzip;q=0` is a refusal."""
    for coding in headers.get("accept-encoding", "").split(","):
        name, _, weight = coding.replace(" ", "").lower().partition(";")
        if name == "gzip":
            return weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
