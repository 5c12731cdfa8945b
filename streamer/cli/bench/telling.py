"""How a benchmark ends: one JSON document or tables on stdout, what failed among them, and the exit code."""

from collections.abc import Callable
from typing import Any

import typer

from streamer.cli.options import note, print_json, print_line


class Telling:
    """parts: to measure with; what they say goes to stderr as it comes."""

    def __init__(self, *, as_json: bool) -> None:
        from streamer.bench.parts import Parts

        self.parts = Parts(note)
        self._as_json = as_json

    def document(self, document: dict[str, Any], show: Callable[[dict[str, Any]], None]) -> None:
        """Print what was measured. Exits with 1 where a part failed, after all that."""
        from streamer.bench.run import machine

        document = {"machine": machine()} | document | self.parts.document()
        if self._as_json:
            print_json(document)
        else:
            print_line(f"machine: {document['machine']}")
            show(document)
            for one in self.parts.failed:
                print_line(f"{one['part']}: FAILED: {one['why']}")
        if self.parts.failed:
            raise typer.Exit(1)
