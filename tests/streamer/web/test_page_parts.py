"""The page's own modules: each is imported by another one, one asks the service, a person's name is text; its library
is the published one.
"""

import hashlib
import re
from importlib import resources

import pytest

PAGE = resources.files("streamer.web") / "page"
MODULES = sorted(file.name for file in PAGE.iterdir() if file.name.endswith(".js"))
# Of npm's htm 3.1.1, preact/standalone.module.js.
DIGEST = "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7"


def imported_by(name):
    """Names of the page's own modules, as far as it says them."""
    return set(re.findall(r'(?:from|import\() ?"\./([a-z]+\.js)"', (PAGE / name).read_text()))


def test_every_module_is_reached_from_the_first_one():
    reached, left = set(), {"app.js"}
    while left:
        name = left.pop()
        reached.add(name)
        left |= imported_by(name) - reached
    assert set(MODULES) == reached | {"needs.js"}  # which is none: the page names it for browsers without modules


@pytest.mark.parametrize("name", MODULES)
def test_a_module_asks_by_one_way_and_writes_text(name):
    text = (PAGE / name).read_text()
    assert "dangerouslySetInnerHTML" not in text, "a person's name is text"
    assert name == "api.js" or "fetch(" not in text, "api.js is the one place that asks"


def test_the_library_is_the_one_that_its_comment_names():
    comment, _, code = (PAGE / "vendor" / "preact.js").read_text().partition("*/\n")
    assert "htm 3.1.1" in comment
    assert "Permission is hereby granted" in comment
    assert hashlib.sha256(code.encode()).hexdigest() == DIGEST
