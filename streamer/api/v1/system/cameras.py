"""/api/v1/cameras: which there are, how each is, and what `cameras ...` does. On the loop; files are on threads."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from gallery.storage.store import PersonStore
from recognition.errors import Overloaded
from streamer.access.errors import RoleTooLow
from streamer.access.guard import Caller
from streamer.access.roles import covers
from streamer.api.errors import PreconditionFailed
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.v1.entity_tags import hold_to, tagged
from streamer.api.v1.person_views import Operator, Viewer
from streamer.api.v1.system.camera_views import CameraChange, CameraList, CameraView, ProbeAsked, ProbeView
from streamer.cameras import edits
from streamer.cameras.desk import CameraDesk
from streamer.cameras.edits import Edit
from streamer.errors import (
    CameraError,
    CameraExists,
    CameraNotFound,
    CamerasFixed,
    CameraUnknown,
    ConfigInvalid,
    ConfigUnknownKey,
    ConfigUnreadable,
    DataFolderUnwritable,
)
from streamer.pipeline.camera import Camera

CameraName = Annotated[str, Path(pattern=r"^[a-z0-9_-]{1,64}$", description="a camera's name", examples=["door"])]
Seconds = Annotated[float, Query(ge=0, le=10, description="for so long a live stream is watched")]
_OF_CONFIGURATION = (ConfigInvalid, ConfigUnreadable)
_CHANGE = problem_answers(
    *OF_GALLERY,
    *_OF_CONFIGURATION,
    ConfigUnknownKey,
    CameraUnknown,
    CamerasFixed,
    DataFolderUnwritable,
    PreconditionFailed,
)
_SHOW = problem_answers(*_OF_CONFIGURATION, CameraUnknown)
_PROBE = problem_answers(CameraError, Overloaded)


def routes(desk: CameraDesk, gallery: GalleryDesk) -> APIRouter:
    """gallery: its audit log is told who changes which camera."""
    cameras = APIRouter(prefix="/api/v1", tags=["cameras"])

    async def change(request: Request, caller: Caller, name: str, edit: Edit, **told: Any) -> None:  # noqa: ANN401 JSON
        async with desk.one_at_a_time:  # of two that were read the same, one is late
            if desk.find(name) is not None:
                hold_to(request, await _view(desk, name))
            elif "if-match" in request.headers:
                raise PreconditionFailed("there is no such camera (any more) that If-Match could name")
            await desk.change(edit)
        details = {"camera": name, **told}
        record = partial(PersonStore.record, action="camera_changed", details=details)
        await gallery.run(actor_of(caller), record, is_rest=True)

    @cameras.get("/cameras", response_model=CameraList, responses=problem_answers(*_OF_CONFIGURATION))
    async def list_cameras(caller: Viewer) -> CameraList:
        """Every camera: how it is set, and how it fares."""
        origins, removed = await desk.origins()
        rtsp = desk.settings.ingest.rtsp
        views = [CameraView.of(camera, origins[camera.name], rtsp) for camera in desk.cameras()]
        return CameraList(cameras=views, removed=removed)

    @cameras.get(
        "/cameras/{camera}", response_model=CameraView, responses=problem_answers(*_OF_CONFIGURATION, CameraUnknown)
    )
    async def show_camera(camera: CameraName, caller: Viewer, request: Request) -> Response:
        """One camera, with an entity tag."""
        return tagged(request, await _view(desk, camera))

    @cameras.put(
        "/cameras/{camera}",
        response_model=CameraView,
        responses={
            **_CHANGE,
            **problem_answers(CameraExists, CameraNotFound, CamerasFixed),
            201: {"model": CameraView},
        },
    )
    async def put_camera(camera: CameraName, caller: Operator, request: Request, settings: CameraChange) -> Response:
        """Add a camera (201), or set one anew: what is left out has its default, but for its URL and login."""
        before = desk.find(camera)
        kept = {} if before is None else before.settings.model_dump(include={"url", "user", "password"})
        values = _allowed(settings.given(), before, caller)
        await change(request, caller, camera, edits.replaced(camera, kept | values), what="put", keys=sorted(values))
        return tagged(request, await _view(desk, camera), 201 if before is None else 200)

    @cameras.patch("/cameras/{camera}", response_model=CameraView, responses=_CHANGE)
    async def change_camera(camera: CameraName, caller: Operator, request: Request, settings: CameraChange) -> Response:
        """Change what is given of a camera: `{"enabled": false}` closes it, over restarts, too."""
        before = desk.known(camera)
        values = _allowed(settings.given(), before, caller)
        edit = edits.altered(camera, values, "changed")
        await change(request, caller, camera, edit, what="patched", keys=sorted(values))
        return tagged(request, await _view(desk, camera))

    @cameras.delete("/cameras/{camera}", status_code=204, response_class=Response, responses=_CHANGE)
    async def remove_camera(camera: CameraName, caller: Operator, request: Request) -> Response:
        """Take a camera away; one of the configuration is hidden until it is reset."""
        await change(request, caller, desk.known(camera).name, edits.removed(camera), what="removed")
        return Response(status_code=204)

    @cameras.post("/cameras/{camera}/reset", response_model=CameraView, responses=_CHANGE)
    async def reset_camera(camera: CameraName, caller: Operator, request: Request) -> Response:
        """Make a camera what the configuration says again, one that was taken away, too."""
        await change(request, caller, camera, edits.as_configured(camera), what="reset")
        return tagged(request, await _view(desk, camera))

    @cameras.post("/probe", response_model=ProbeView, responses=_PROBE)
    async def probe_address(caller: Operator, asked: ProbeAsked, seconds: Seconds = 4.0) -> ProbeView:
        """Open what is no camera yet, watch it for a moment, say what it sends and what is odd."""
        camera = await desk.as_camera(_allowed(asked.model_dump(), None, caller))
        return ProbeView.of(await desk.probe(camera, "probe", seconds))

    @cameras.post("/cameras/{camera}/probe", response_model=ProbeView, responses=_PROBE)
    async def probe_camera(camera: CameraName, caller: Operator, seconds: Seconds = 4.0) -> ProbeView:
        """The same for a camera, a second time beside the service."""
        return ProbeView.of(await desk.probe(desk.known(camera).settings, camera, seconds))

    return cameras


async def _view(desk: CameraDesk, name: str) -> CameraView:
    origins, _ = await desk.origins()
    camera = desk.known(name)
    return CameraView.of(camera, origins[name], desk.settings.ingest.rtsp)


def _allowed(given: dict[str, Any], before: Camera | None, caller: Caller) -> dict[str, Any]:
    """As meant by who was shown the camera. Raises RoleTooLow where a variable of this machine is named that it has not
    named before: its value, a secret maybe, would go wherever the URL says."""
    values = given if before is None else edits.as_shown(given, before.settings)
    for key in ("url", "user", "password"):
        value = values.get(key)
        is_new = before is None or value != getattr(before.settings, key)
        if is_new and isinstance(value, str) and "${" in value and not covers(caller.role or "viewer", "admin"):
            raise RoleTooLow(
                f"{key}: ${{...}} takes a token of role admin: it sends what this machine holds to where the URL says"
            )
    return values
