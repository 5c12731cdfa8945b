"""Every link of the docs leads somewhere, on GitHub and on the site; nothing is fetched."""

import re
import unicodedata
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT

PAGES = sorted(
    [
        *PROJECT.glob("*.md"),
        *PROJECT.glob("docs/**/*.md"),
        *PROJECT.glob("model/*/*.md"),
        *PROJECT.glob("configs/**/*.md"),
    ]
)
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """Without blocks of code, and without code within lines."""
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", FENCE.sub("", page.read_text(encoding="utf-8")))


def slug(heading: str) -> str:
    """As GitHub makes an anchor of a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    kept = (c for c in words if c in "-_ " or unicodedata.category(c)[0] in "LMN")
    return "".join(kept).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    found: dict[str, int] = {}
    every = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        name = slug(re.sub(r"(?<!\w)[*_]+|[*_]+(?!\w)", "", heading))
        every.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return every | set(re.findall(r'<a (?:id|name)="([^"]+)"', page.read_text(encoding="utf-8")))


def wrong_links(page: Path) -> list[str]:
    """Links of a page to no file of the repository, or to no heading there."""
    wrong = []
    for link in LINK.findall(prose(page)):
        if re.match(r"(https?|mailto):", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        is_there = target.exists() and target.is_relative_to(PROJECT)
        if not is_there or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert wrong_links(page) == []


def test_what_leads_nowhere_is_seen(tmp_path: Path) -> None:
    page = PROJECT / "docs" / "mqtt.md"
    text = "[a](mqtt.md#topics) [b](nowhere.md) [c](mqtt.md#no-such-heading) `[d](code.md)` [e](https://example.org/x)"
    other = page.with_name(f"{tmp_path.name}.md")
    try:
        other.write_text(text)
        found = wrong_links(other)
    finally:
        other.unlink()
    assert found[-2:] == ["nowhere.md", "mqtt.md#no-such-heading"]
    assert "code.md" not in found


def test_every_page_of_the_docs_is_in_the_sites_contents_once() -> None:
    """`make docs` refuses one that is not; here without MkDocs."""

    class Loader(yaml.SafeLoader):
        """Its one tag names a function, which is not called."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    nav = yaml.load((PROJECT / "mkdocs.yml").read_text(), Loader)["nav"]

    def pages(part: object) -> list[str]:
        if isinstance(part, str):
            return [part]
        children = part.values() if isinstance(part, dict) else part
        return [page for child in children for page in pages(child)]  # type: ignore[union-attr]

    listed = pages(nav)
    assert len(listed) == len(set(listed))
    missing = {str(page.relative_to(PROJECT / "docs")) for page in PROJECT.glob("docs/**/*.md")} - set(listed)
    assert missing == set()
