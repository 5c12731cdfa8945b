"""Imports go one way: streamer -> gallery -> recognition."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent

FORBIDDEN = {"recognition": {"gallery", "streamer"}, "gallery": {"streamer"}}


def wrong_way(package: str, source: str) -> Iterator[str]:
    """The imports in `source`, a module of `package`, that go against the direction."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        yield from (name for name in names if name.partition(".")[0] in FORBIDDEN.get(package, ()))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package):
    files = sorted((PROJECT / package).rglob("*.py"))
    found = [f"{file}: {name}" for file in files for name in wrong_way(package, file.read_text())]

    assert files
    assert found == []


def test_an_import_the_wrong_way_is_seen_wherever_it_hides():
    source = "def f():\n    import streamer.events as e\n    from gallery import store\n    import numpy\n"

    assert list(wrong_way("recognition", source)) == ["streamer.events", "gallery"]
    assert list(wrong_way("gallery", source)) == ["streamer.events"]
    assert list(wrong_way("streamer", source)) == []
