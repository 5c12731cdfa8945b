"""The page's own files: whole, nothing inline, nothing from elsewhere, and a person's name is text wherever it stands."""

import hashlib
import re
from html.parser import HTMLParser
from importlib import resources

import pytest

PAGE = resources.files("streamer.web") / "page"
FILES = sorted(file.name for file in PAGE.iterdir())
VENDORED = "preact.js"
# Of npm's htm 3.1.1, preact/standalone.module.js.
DIGEST = "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7"


class Parts(HTMLParser):
    """What a page refers to, and what stands in it that its policy forbids."""

    def __init__(self):
        super().__init__()
        self.references, self.inline = [], []

    def handle_starttag(self, tag, attributes):
        self.references += [value for name, value in attributes if name in ("src", "href")]
        self.inline += [(tag, name) for name, _ in attributes if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and not dict(attributes).get("src")):
            self.inline.append((tag, None))


def imported_by(name):
    """Names of the page's modules, as far as it says them."""
    return set(re.findall(r'(?:from|import\() ?"\./([a-z]+\.js)"', (PAGE / name).read_text()))


def test_the_shell_has_all_that_the_first_screen_draws():
    parts = Parts()
    parts.feed((PAGE / "index.html").read_text())
    assert parts.inline == []
    there = {f"/page/{name}" for name in FILES} | {"/assets/icon.svg"}
    assert set(parts.references) <= there
    reached, left = set(), {"app.js"}
    while left:
        name = left.pop()
        reached.add(name)
        left |= imported_by(name) - reached
    assert {f"{name}" for name in FILES if name.endswith(".js")} == reached, "a module that nobody imports, or that is not there"


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js") and name != VENDORED])
def test_a_module_asks_by_one_way_and_writes_text(name):
    text = (PAGE / name).read_text()
    assert "innerHTML" not in text.replace("dangerouslySetInnerHTML", "innerHTML"), "a person's name is text"
    assert re.findall(r"(?:https?:)//[a-z0-9.-]+\.[a-z]+", text) == []
    assert name == "api.js" or "fetch(" not in text, "api.js is the one place that asks"
    for asset in re.findall(r'"/assets/([a-z_]+\.(?:js|svg))"', text):
        assert (resources.files("streamer.live_view") / "page" / asset).is_file(), asset


def test_the_library_is_the_one_that_its_comment_names():
    comment, _, code = (PAGE / VENDORED).read_text().partition("*/\n")
    assert "htm 3.1.1" in comment
    assert "Permission is hereby granted" in comment
    assert hashlib.sha256(code.encode()).hexdigest() == DIGEST
