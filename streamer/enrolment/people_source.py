"""Where many people come from, as `enrol --from` and `setup` are told it: a path or a CompreFace's address.

Blocks for files or answers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gallery.enrolment.listing import Listing, open_listing


@contextmanager
def open_people(source: str, environ: Mapping[str, str] | None = None) -> Iterator[Listing]:
    """`environ`: where a CompreFace's key is looked for. Raises what open_listing() and open_compreface() do."""
    from streamer.enrolment.compreface import is_address, open_compreface  # httpx takes its time to import

    with open_compreface(source, environ) if is_address(source) else open_listing(Path(source)) as listing:
        yield listing
