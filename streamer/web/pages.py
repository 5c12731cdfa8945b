"""The page at / and its files under /page: the same for everybody, with nothing private, so that no token is needed.

The page asks for a token once and has a session from then on (streamer/api/v1/session.py).
"""

from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from streamer.access.guard import open_to_all
from streamer.web.page_files import PageFiles

# Everything from here, nothing from elsewhere, no script but the files, no text that becomes markup; pictures that were
# dropped or taken are shown before they are sent (blob:). Nobody may frame it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",  # people are enrolled by a browser's camera
}
_SHELL = "index.html"


def routes(folder: Traversable | None = None) -> APIRouter:
    """/ and /page/<file>. folder: the page's own files, where it is not the package's."""
    files = PageFiles(folder or resources.files("streamer.web") / "page", _POLICY, _HEADERS)
    pages = APIRouter(tags=["pages"], dependencies=[Depends(open_to_all)])

    @pages.get("/", response_class=HTMLResponse, response_description="The page.")
    async def page(request: Request) -> Response:
        """The page: cameras, events, people. It asks for a token, and has a session from then on."""
        return files.answer(request, _SHELL)

    @pages.get("/page/{name:path}", include_in_schema=False)
    async def part(name: str, request: Request) -> Response:
        if name not in files or name == _SHELL:
            raise HTTPException(404, "Not Found")
        return files.answer(request, name)

    return pages
