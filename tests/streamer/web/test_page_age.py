"""The page in browsers as old as docs/page.md says: nothing that it uses is newer than they are.

By MDN's browser-compat-data 8. What older browsers leave out without harm (content-visibility, scrollbar-gutter), or
are asked about first (requestVideoFrameCallback, fullscreen), is not listed.
"""

import re
from importlib import resources

import pytest

from tests.conftest import PROJECT

OLDEST = {"Chrome": 103, "Firefox": 115, "Safari": 16}
# What would fail there, or do nothing in silence, with the versions of Chrome, Firefox and Safari that have it.
TOO_NEW_IN_SCRIPTS = {
    r"AbortSignal\.any\b": (116, 124, 17.4),
    r"\b(query|search|searchParams|params)\.size\b": (113, 112, 17),  # URLSearchParams
    r"\.(toSorted|toReversed|toSpliced)\(": (110, 115, 16),
    r"\.with\(": (110, 115, 16),
    r"\b(Object|Map)\.groupBy\b": (117, 119, 17.4),
    r"\bArray\.fromAsync\b": (121, 115, 16.4),
    r"\bPromise\.(withResolvers|try)\b": (119, 121, 17.4),
    r"\.(values|keys|entries)\(\)\.(map|filter|find|some|every|reduce|toArray|take|drop|forEach)\(": (122, 131, 18.4),
    r"\.(union|intersection|difference|symmetricDifference|isSubsetOf|isSupersetOf)\(": (122, 127, 17),
    r"\bURL\.(canParse|parse)\b": (120, 115, 17),
    r"\.checkVisibility\(": (105, 106, 17.4),
    r"\.(showPopover|togglePopover)\(|popovertarget": (114, 125, 17),
    r"\bstartViewTransition\(": (111, 144, 18),
    r"\(\?<[=!]": (62, 78, 16.4),  # looking behind, in a regular expression
    r"\bstatic \{": (94, 93, 16.4),
    r"\busing \w+ =": (134, 141, 27.3),
    r"\bwith \{ ?type:": (123, 138, 17.2),  # of an import
    r'"importmap"': (89, 108, 16.4),
    r"\bRegExp\.escape\b|/v[,;.) ]": (112, 116, 17),
}
TOO_NEW_IN_STYLES = {
    r":has\(": (105, 121, 15.4),
    r"(?m)^\s+&|[;{]\s*&": (120, 117, 17.2),  # nesting
    r"color-mix\(": (111, 113, 16.2),
    r"light-dark\(": (123, 120, 17.5),
    r"\boklch\(|\boklab\(|\blch\(|\blab\(": (111, 113, 15.4),
    r"@(layer|container|scope|starting-style|property)\b": (105, 128, 16.4),
    r"@media[^{]*[<>]": (104, 63, 16.4),
    r"\bd[v]h\b|\bsvh\b|\blvh\b": (108, 101, 15.4),
    r"subgrid": (117, 71, 16),
    r"text-wrap": (114, 121, 17.4),
    r"field-sizing|interpolate-size|anchor-name|position-area": (123, 149, 18),
}


def files(ending):
    folders = (resources.files("streamer.web") / "page", resources.files("streamer.live_view") / "page")
    return [file for folder in folders for file in folder.iterdir() if file.name.endswith(ending)]


@pytest.mark.parametrize(("ending", "too_new"), [(".js", TOO_NEW_IN_SCRIPTS), (".css", TOO_NEW_IN_STYLES)])
def test_nothing_is_newer_than_the_oldest_browsers(ending, too_new):
    for pattern, since in too_new.items():
        assert any(version > oldest for version, oldest in zip(since, OLDEST.values(), strict=True)), pattern
        for file in files(ending):
            found = re.search(pattern, file.read_text())
            assert found is None, f"{file.name}: {found and found[0]!r} needs Chrome, Firefox and Safari {since}"


def test_the_oldest_browsers_are_named_where_people_look():
    said = re.compile(r"Chrome or Edge (\d+), Firefox (\d+), Safari (\d+)")
    for place in (resources.files("streamer.web") / "page" / "index.html", PROJECT / "docs" / "page.md"):
        (found,) = said.findall(place.read_text())
        assert tuple(map(int, found)) == tuple(OLDEST.values()), place
