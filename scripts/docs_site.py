"""A hook of MkDocs: pages that lie outside docs/ come in, and links between files of the repository work on the site.

Whatever else is linked (a schema, a systemd unit) comes along as it is, under files/. Links to nothing are left as they
are, for MkDocs to complain of.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PROJECT = Path(__file__).resolve().parent.parent
# Where in the repository -> where on the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "model/nano/README.md": "nano.md",
    "model/nano/detector-notes.md": "nano-detector.md",
    "model/faces/PROVENANCE.md": "portraits.md",
}
SOURCES = {site: source for source, site in PAGES.items()}
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^()\s#]+)((?:#[^()\s]*)?)(?=\))")


def source_of(page: str) -> str:
    """Where a page of the site lies in the repository."""
    return SOURCES.get(page, f"docs/{page}")


def place_of(source: str) -> str | None:
    """Where a file of the repository is on the site; None: it is no file."""
    if source in PAGES:
        return PAGES[source]
    if not (PROJECT / source).is_file():
        return None
    return source.removeprefix("docs/") if source.startswith("docs/") else f"files/{source}"


def linked(text: str, source: str) -> list[str]:
    """Files of the repository to which a page there has links."""
    found = [posixpath.normpath(posixpath.join(posixpath.dirname(source), link)) for link, _ in LINK.findall(text)]
    return [one for one in found if place_of(one)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, site in PAGES.items():
        if (PROJECT / source).is_file():
            files.append(File.generated(config, site, content=(PROJECT / source).read_text(encoding="utf-8")))
    for page in [file for file in files if file.is_documentation_page()]:
        for source in linked(page.content_string, source_of(page.src_uri)):
            site = place_of(source)
            if site is not None and files.get_file_from_path(site) is None:
                files.append(File.generated(config, site, abs_src_path=str(PROJECT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    here = page.file.src_uri
    folder = posixpath.dirname(source_of(here))

    def on_site(found: re.Match[str]) -> str:
        link, anchor = found.groups()
        site = place_of(posixpath.normpath(posixpath.join(folder, link)))
        return found[0] if site is None else posixpath.relpath(site, posixpath.dirname(here) or ".") + anchor

    return LINK.sub(on_site, markdown)
