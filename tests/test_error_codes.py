"""Codes are stable and unique: they are log fields, metric labels and the body of an HTTP error."""

import importlib
import pkgutil
import re
from collections import Counter
from types import ModuleType

import pytest

import gallery.classifier.errors
import gallery.errors
import recognition.errors
import streamer.access.errors
import streamer.api.errors
import streamer.api.streaming.errors
import streamer.errors
import streamer.mqtt.home_assistant.errors
import streamer.mqtt.tls.errors
import streamer.review.errors
import streamer.webrtc.errors
from recognition.errors import CodedError

PACKAGES = ("recognition", "gallery", "streamer")
OF_EXTRAS = ("torch", "matplotlib", "tritonclient", "aiortc", "sklearn")
# A line of the family tree: "    │   ├── StreamLost     stream_lost   (retryable: why)".
BRANCH = re.compile(r"[├└]── (?P<name>\w+)(?: +(?P<code>[a-z_]+))?(?: +\((?P<note>[^)]*)\)?)?$", re.MULTILINE)


def import_everything() -> None:
    """Every module of the three packages, so that every error class exists; but for those of extras not installed."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                except ModuleNotFoundError as missing:
                    if (missing.name or "").partition(".")[0] not in OF_EXTRAS:
                        raise


def family(error: type[CodedError]) -> list[type[CodedError]]:
    """The class and all below it that belong to the project (tests may make their own)."""
    below = [found for child in error.__subclasses__() for found in family(child)]
    return [error, *below] if error.__module__.partition(".")[0] in PACKAGES else below


def test_every_class_has_a_code_of_its_own():
    import_everything()
    errors = family(CodedError)

    assert len(errors) > 40
    assert [error.__name__ for error in errors if "code" not in vars(error)] == []
    assert [code for code, count in Counter(error.code for error in errors).items() if count > 1] == []
    assert [error.code for error in errors if not re.fullmatch(r"[a-z][a-z0-9_]*", error.code)] == []


MODULES = [
    recognition.errors,
    gallery.errors,
    gallery.classifier.errors,
    streamer.errors,
    streamer.mqtt.tls.errors,
    streamer.access.errors,
    streamer.api.errors,
    streamer.api.streaming.errors,
    streamer.mqtt.home_assistant.errors,
    streamer.review.errors,
    streamer.webrtc.errors,
]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_the_docstrings_tree_lists_every_class_of_its_module(module: ModuleType):
    drawn = {match["name"]: match for match in BRANCH.finditer(module.__doc__ or "")}
    errors = [error for error in family(CodedError) if error.__module__ == module.__name__]

    for error in errors:
        leaf = not error.__subclasses__()
        roots = ("CodedError", "StreamerError", "GalleryError", "PhotoRefused", "ClassifierError")
        assert error.__name__ in drawn or error.__name__ in roots, f"{error.__name__} is not in the tree"
        if leaf:
            branch = drawn[error.__name__]
            assert branch["code"] == error.code
            assert ("retryable" in (branch["note"] or "")) == error.retryable, error.__name__
    known = {error.__name__ for error in family(CodedError)}
    assert [name for name in drawn if name not in known] == [], "in the tree, but gone"
