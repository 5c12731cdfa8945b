"""Where a Triton server is, as the configuration says it: read without all that talks to one."""

import re

_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", re.ASCII)


def check_address(url: str) -> str:
    """`host:port` as it came. Raises ValueError for anything else."""
    match = _ADDRESS.fullmatch(url)
    if match is None or not 0 < int(match[1]) < 65536:
        raise ValueError("no address of a Triton server; want host:port of its gRPC service, like 127.0.0.1:8001")
    return url
