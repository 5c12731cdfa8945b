"""The house stays one: imports go one way, no circle of rooms, no overfull folder, tests where their packages are."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PACKAGES = ("recognition", "gallery", "streamer")
FORBIDDEN = {"recognition": {"gallery", "streamer"}, "gallery": {"streamer"}}
MOST_MODULES = 20
MOST_LINES = 400


def imported(source: str) -> Iterator[str]:
    """The modules that `source` imports, wherever in it: of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name; a folder's __init__ has the folder's."""
    files = sorted((PROJECT / package).rglob("*.py"))
    names = [".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return dict(zip(names, files, strict=True))


def room_of(module: str, file: Path) -> str:
    """A folder, by its dotted name, is a room; so is each file at the package's root."""
    folder = ".".join(file.parent.relative_to(PROJECT).parts)
    return folder if "." in folder else module


def circle(imports: dict[str, set[str]]) -> list[str] | None:
    """Rooms that import each other in a circle, or None."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package):
    wrong = [
        f"{file}: {name}"
        for file in modules(package).values()
        for name in imported(file.read_text())
        if name.partition(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_rooms_import_each_other_in_a_circle(package):
    there = modules(package)
    rooms: dict[str, set[str]] = {}
    for module, file in there.items():
        needed = {room_of(name, there[name]) for name in imported(file.read_text()) if name in there}
        rooms.setdefault(room_of(module, file), set()).update(needed - {package})
    assert circle({room: needed - {room} for room, needed in rooms.items()}) is None


def test_an_import_is_seen_wherever_it_hides():
    source = "if T:\n    import streamer.app as a\ndef f():\n    from gallery import store\n    import numpy\n"
    assert list(imported(source)) == ["streamer.app", "gallery", "gallery.store", "numpy"]


def test_a_circle_is_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) is None
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) or ()) == {"a", "b", "c"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_is_overfull_and_no_module_too_long(package):
    files = list(modules(package).values())
    full = {folder: n for folder in {f.parent for f in files} if (n := len(list(folder.glob("*.py")))) > MOST_MODULES}
    long = {file: lines for file in files if (lines := file.read_text().count("\n")) > MOST_LINES}
    assert (full, long) == ({}, {})


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_lie_where_what_they_test_lies(package):
    """In a folder of the package's; a test of the name of one module alone in that module's folder."""
    homes: dict[str, set[Path]] = {}
    for file in modules(package).values():
        homes.setdefault(file.stem, set()).add(file.parent.relative_to(PROJECT))
    found = sorted((PROJECT / "tests" / package).rglob("test_*.py"))
    assert found
    for test in found:
        folder = test.parent.relative_to(PROJECT / "tests")
        assert (PROJECT / folder).is_dir(), f"{test}: there is no {folder}"
        home = homes.get(test.stem.removeprefix("test_"), {folder})
        assert folder in home, f"{test}: its module is in {' or '.join(map(str, home))}"
