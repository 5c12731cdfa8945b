"""The page that shows a camera, the one that is a camera, and their parts: files as they are, the same for everybody.

They hold nothing private, so that no token is needed to load them; the pages ask for one and go on with it.
"""

from importlib import resources

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from streamer.access.guard import open_to_all
from streamer.web.page_files import PageFiles

# Everything from here, nothing from elsewhere, no script but the files; nobody may frame it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SHELLS = {"watch": "watch.html", "publish": "publish.html"}


def routes() -> APIRouter:
    """/watch/<camera>, /publish/<camera> and /assets/<file>. The files are read once."""
    files = PageFiles(resources.files("streamer.live_view") / "page", _POLICY)
    pages = APIRouter(tags=["pages"], dependencies=[Depends(open_to_all)])

    @pages.get("/watch/{camera}", response_class=HTMLResponse, response_description="The page.")
    async def watch(camera: str, request: Request) -> Response:
        """A page that shows the camera with boxes and names; it asks for a token (viewer)."""
        return files.answer(request, _SHELLS["watch"])

    @pages.get("/publish/{camera}", response_class=HTMLResponse, response_description="The page.")
    async def publish(camera: str, request: Request) -> Response:
        """A page that makes this device the camera; it asks for the camera's password, or a token (operator)."""
        return files.answer(request, _SHELLS["publish"])

    @pages.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        if name not in files or name in _SHELLS.values():
            raise HTTPException(404, "Not Found")
        return files.answer(request, name)

    return pages
