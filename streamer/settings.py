"""The settings as one frozen tree, each with its default and bounds; unknown keys are refused. Pure.

What fills it, YAML, then WHOSTHERE_SECTION__KEY, then --set, is in settings_reading.
"""

import logging
import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from gallery.matching.aggregation import Aggregation
from recognition.runtimes.triton_address import check_address
from recognition.selection.candidates import Requirement
from recognition.specs.devices import Device
from recognition.specs.profile import SpecProfile
from streamer.camera_changes import FILE as CHANGES_FILE
from streamer.sections.mqtt import MqttSettings as MqttSettings
from streamer.sections.polygons import Polygons
from streamer.sections.section import Section

log = logging.getLogger(__name__)

FIGURES_FILE = "model-figures.json"  # what was measured of models here
PUBLISH = "publish://"  # the url of a camera that pushes
TritonAddress = Annotated[str, AfterValidator(check_address)]
CameraName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+$", max_length=64)]
Names = Literal["gallery", "classifier", "both"]


_MASTER_KEY_FORMS = (
    "want exactly one of {file: PATH}, {variable: NAME}, {command: [PROGRAM, ARGUMENT, ...]}; the key itself does not "
    "belong here"
)


class ServiceSettings(Section):
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "text", "json"] = "auto"
    cpu_threads: int = Field(default=0, ge=0, le=256, description="0: as many as this process may use")


class PathsSettings(Section):
    models: tuple[Path, ...] = (Path("model/artifacts"),)
    data: Path = Path("var")
    classifier: Path = Field(default=Path("model"), description="where `train` puts its files")
    keys: Path | None = Field(default=None, description="null: beside paths.data, called as it is with -keys")

    @property
    def key_folder(self) -> Path:
        """Where master.key is kept; never in `data`: whoever gets a copy of that gets no key with it."""
        data = Path(os.path.abspath(self.data))
        return self.keys or data.parent / f"{data.name}-keys"

    @model_validator(mode="after")
    def _keys_apart(self) -> Self:
        if self.key_folder.resolve().is_relative_to(self.data.resolve()):
            raise PydanticCustomError(
                "keys_in_data",
                "paths.keys lies in paths.data: whoever copies the data has the key; give another folder",
            )
        return self


HwAccel = Literal["auto", "cuda", "vaapi", "none"]


class CameraSettings(Section):
    """`url` is as written, `${VAR}` unexpanded: call expand_url() to open it."""

    url: str = Field(min_length=1, repr=False)
    transport: Literal["tcp", "udp"] = "tcp"
    fps: float = Field(default=10.0, gt=0, le=120)
    aspect: str | None = Field(
        default=None,
        pattern=r"^[1-9]\d{0,3}:[1-9]\d{0,3}$",
        description='its picture\'s, "4:3"; null: as the stream says',
    )
    rotate: Literal[0, 90, 180, 270] = Field(default=0, description="turn the picture clockwise, degrees")
    video_track: int | None = Field(
        default=None, ge=0, le=99, description="of several in one stream, counted from 0; null: the best"
    )
    hwaccel: HwAccel = Field(default="none", description="what decodes it; where it can't be had: software")
    pace: Literal["realtime", "fastest"] = "realtime"
    loop: bool = False
    enabled: bool = True
    user: str | None = Field(default=None, description="of whoever publishes to it; null: its name")
    password: str | None = Field(default=None, repr=False, description="likewise; as written, `${VAR}` unexpanded")
    open_timeout_s: float = Field(default=10.0, gt=0, le=120)
    read_timeout_s: float = Field(default=10.0, gt=0, le=120)
    stalled_after_s: float | None = Field(default=None, gt=0, le=120, description="null: as its own rhythm has it")
    names: Names = Field(default="gallery", description="whose word a name is: the gallery's, the classifier's, both's")
    snapshots: bool = Field(default=False, description="keep its visits: pictures, messages, embeddings")
    masks: Polygons = Field(default=(), description="parts of its picture that are blacked: polygons of [x, y], 0 to 1")
    regions: Polygons = Field(default=(), description="where faces and movement count, likewise; none: everywhere")

    @property
    def is_published(self) -> bool:
        """Whether it pushes its stream to us; nothing is opened then."""
        return self.url == PUBLISH

    @model_validator(mode="after")
    def _published_with_password(self) -> Self:
        if self.url.startswith("publish:") and not self.is_published:
            raise PydanticCustomError("publish_url", "the url of a camera that pushes is publish:// and nothing more")
        if self.is_published and not self.password:
            raise PydanticCustomError(
                "publish_password", 'the url publish:// needs a password, like password: "${DOOR_PASSWORD}"'
            )
        if self.is_published and ":" in (self.user or ""):
            raise PydanticCustomError("publish_user", "a user who publishes has no : in the name; leave it out")
        return self


class TritonSettings(Section):
    url: TritonAddress
    deadline_s: float = Field(default=5.0, gt=0, le=120)
    retries: int = Field(default=2, ge=0, le=20)


class RecognitionSettings(Section):
    detector: str = "nano_det"
    embedder: str = "nano_embed"
    device: Device = "auto"
    detection_threshold: float | None = Field(default=None, ge=0, le=1, description="null: the spec's")
    trim_padding: bool = Field(default=True, description="spare the detector rows that are padding alone")
    min_face_px: float = Field(default=28.0, ge=0, description="smaller faces are tracked, never embedded")
    min_quality: float = Field(default=0.15, ge=0, le=1, description="poorer faces are never embedded")
    ladder: tuple[str, ...] = Field(default=(), description="embedders that may serve instead, best first")
    requirement: Requirement = Field(default="accuracy", description="what the selector goes by")
    latency_goal_ms: float | None = Field(default=300.0, gt=0, description="queue and run of a face; null: none")
    event_goal_ms: float | None = Field(default=400.0, gt=0, description="capture to hand-over; null: nothing is shed")
    look_again_s: float = Field(default=10.0, gt=0, le=3600, description="how often a quiet picture is looked at")
    wake_within_s: float = Field(default=1.0, gt=0, le=8, description="how late a quiet camera may wake")
    minimum_stay_s: float = Field(default=60.0, ge=0, le=86_400, description="a model serves at least for so long")
    poll_s: float = Field(default=1.0, gt=0, le=60, description="how often memory and load are looked at")
    profiles: dict[str, SpecProfile] = Field(default={}, description="what specs say otherwise, by model")
    triton: TritonSettings | None = None
    runners: int = Field(default=0, ge=0, le=64, description="sessions side by side; 0: one a core on CPUs")
    max_batch: int = Field(default=32, ge=1, le=64)
    max_wait_ms: float | None = Field(default=None, ge=0, le=1000, description="null: it adapts (0 on CPUs)")
    queue_limit: int = Field(default=64, ge=1, le=10_000)
    frames_in_flight: int = Field(default=3, ge=1, le=8)


class EnrolSettings(Section):
    min_face_px: float = Field(default=48.0, ge=0)
    min_quality: float = Field(default=0.25, ge=0, le=1)
    max_photos: int = Field(default=20, ge=1, le=1000, description="that are kept of a person")


class MasterKeySettings(Section):
    """Exactly one of them; the key is base64 of 32 bytes."""

    file: Path | None = None
    variable: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.file, self.variable, self.command)) != 1:
            raise PydanticCustomError("master_key", _MASTER_KEY_FORMS)
        return self


def _no_key_itself(value: object) -> object:
    if isinstance(value, str):
        raise PydanticCustomError("master_key", _MASTER_KEY_FORMS)
    return value


class GallerySettings(Section):
    threshold: float | None = Field(default=None, ge=-1, le=1, description="null: the calibration's, else the spec's")
    margin: float = Field(default=0.05, ge=0, le=1, description="least lead over the next best person")
    aggregation: Aggregation = Field(default="class_mean", description="of a person's templates")
    top_k: int = Field(default=10, ge=1, le=1000)
    enrol: EnrolSettings = EnrolSettings()
    rerank: bool = Field(default=False, description="names are held to re-ranking, too, and may be taken away by it")
    rerank_threshold: float | None = Field(
        default=None, ge=0, le=1, description="null: 0.6 for who asks for scores, none in matching"
    )
    rerank_library: Path | None = Field(default=None, description="a kernel of your own; null: the built-in one")
    encryption: bool = Field(default=True, description="of a new gallery, and of a plain one when it is opened")
    master_key: Annotated[MasterKeySettings | None, BeforeValidator(_no_key_itself)] = Field(
        default=None, description="null: a file in paths.keys, made where there is none"
    )
    keep_days: float | None = Field(
        default=None, gt=0, le=36_500, description="who has no newer photo is erased; null: kept"
    )
    keep_chips: bool = Field(default=True, description="of photos; templates of later models are made of them")


class EventsSettings(Section):
    faces_to_name: int = Field(default=2, ge=1, le=20, description="embedded faces before a person is named")
    faces_to_settle: int = Field(default=3, ge=1, le=20, description="before somebody is called unknown")
    settle_s: float = Field(default=2.0, ge=0, le=60, description="or so long after first sight, with one face")
    gone_after_s: float = Field(default=2.0, gt=0, le=600, description="unseen for so long: the visit ends")
    surer_by: float = Field(default=0.1, gt=0, le=1, description="an update when similarity rises by this")
    outbox_limit: int = Field(default=100_000, ge=10)
    outbox_max_age_h: float = Field(default=168.0, gt=0)
    keep_days: float = Field(default=14.0, gt=0, le=3650, description="of kept visits")
    keep_mib: int = Field(default=2048, ge=16, description="most room that kept visits take; the oldest go first")
    keep_unknown_h: float = Field(default=0.0, ge=0, le=8760, description="visits of unknown faces; 0: never kept")


class TlsSettings(Section):
    cert: Path = Field(description="PEM: the server's first, then the chain's")
    key: Path = Field(description="PEM, without a password")
    hsts_days: int = Field(
        default=180, ge=0, le=3650, description="for so long browsers come by TLS alone, to all ports; 0: as they like"
    )


def _checked_proxy(value: str) -> str:
    try:
        network = ip_network(value)
    except ValueError as error:
        raise ValueError(f"want an address or a network such as 192.0.2.0/24 ({error})") from None
    if network.prefixlen == 0:
        raise ValueError("names everybody; name the proxies alone")
    return value


TrustedProxy = Annotated[str, AfterValidator(_checked_proxy)]


def _checked_range(value: tuple[float, float]) -> tuple[float, float]:
    if not 0.0 <= value[0] < value[1] <= 1.0:
        raise ValueError(f"want two numbers from 0 to 1, the lower one first, like [0.15, 0.75]; got {list(value)}")
    return value


class FaceRecognitionSettings(Section):
    """Of /api/v1/face-recognition."""

    max_concurrent_requests: int = Field(default=16, ge=1, le=1000, description="those beyond are refused with 429")
    embedding_cache_size: int = Field(default=256, ge=0, le=100_000, description="photos, for 5 minutes; 0: none")
    minimum_face_quality: float = Field(default=0.15, ge=0, le=1, description="a photo's face of less is refused")
    minimum_sharpness: float = Field(default=0.0, ge=0, le=1, description="likewise")
    optimal_brightness_range: Annotated[tuple[float, float], AfterValidator(_checked_range)] = Field(
        default=(0.0, 1.0), description="a face that is darker or brighter is refused"
    )


class RateLimitSettings(Section):
    requests_per_s: float | None = Field(
        default=1000.0, gt=0, le=1e6, description="of one token, or of one address without any; null: no limit"
    )
    burst: int = Field(default=2000, ge=1, le=1_000_000, description="so many at once are let through")


class EmbeddingsSettings(Section):
    """Of /api/v1/embeddings."""

    return_aligned: bool = Field(default=False, description="faces as the embedder saw them, where nobody says")
    max_images: int = Field(default=64, ge=1, le=10_000, description="of one request")
    max_image_mib: int = Field(default=16, ge=1, le=64, description="of one image's file")
    max_request_mib: int = Field(default=128, ge=1, le=4096, description="of a request's body, form or JSON")
    max_requests: int = Field(default=32, ge=1, le=10_000, description="with images at a time; those beyond get 429")
    crop_link_s: float = Field(default=300.0, gt=0, le=86_400, description="how long the link to a face's crop holds")


class HttpSettings(Section):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535, description="0: any free port")
    reuse_port: bool = Field(default=False, description="of `serve --api-only` alone: several listen on the one port")
    tls: TlsSettings | None = None
    trusted_proxies: tuple[TrustedProxy, ...] = Field(
        default=(), description="addresses or networks of proxies that do TLS"
    )
    session_idle_h: float = Field(
        default=24.0, gt=0, le=9600, description="a browser's session, unused so long, is over"
    )
    session_max_h: float = Field(default=720.0, gt=0, le=9600, description="and after so long in any case")
    rate_limit: RateLimitSettings = RateLimitSettings()
    max_body_mib: int = Field(default=16, ge=1, le=1024, description="of JSON with embeddings; other has 256 KiB")
    max_upload_mib: int = Field(default=256, ge=1, le=65_536, description="of an upload (multipart form)")
    picture_streams: int = Field(default=200, ge=0, le=10_000, description="of JPEGs, at most, of all cameras together")
    embeddings: EmbeddingsSettings = EmbeddingsSettings()
    face_recognition: FaceRecognitionSettings = FaceRecognitionSettings()


class RtspIngestSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8554, ge=0, le=65535, description="0: any free port")


class WebrtcSettings(Section):
    enabled: bool = True
    ice_servers: tuple[str, ...] = Field(default=(), description="stun: and turn: URLs, `${VAR}` unexpanded")
    viewers: int = Field(default=4, ge=0, le=64, description="at most, of all cameras together")


class IngestSettings(Section):
    rtsp: RtspIngestSettings = RtspIngestSettings()
    webrtc: WebrtcSettings = WebrtcSettings()


class MetricsSettings(Section):
    loop_lag_interval_s: float = Field(default=0.1, gt=0, le=10)


class Settings(Section):
    service: ServiceSettings = ServiceSettings()
    paths: PathsSettings = PathsSettings()
    cameras: dict[CameraName, CameraSettings] = Field(default_factory=dict)
    recognition: RecognitionSettings = RecognitionSettings()
    gallery: GallerySettings = GallerySettings()
    events: EventsSettings = EventsSettings()
    mqtt: MqttSettings = MqttSettings()
    http: HttpSettings = HttpSettings()
    ingest: IngestSettings = IngestSettings()
    metrics: MetricsSettings = MetricsSettings()

    def apart_in(self, folder: Path, **changes: object) -> Self:
        """The same with a data folder and a key of its own in `folder`, whatever the user's are, and these sections."""
        own = {
            "paths": self.paths.model_copy(update={"data": folder / "data", "keys": folder / "keys"}),
            "gallery": self.gallery.model_copy(update={"master_key": None}),
        }
        return self.model_copy(update=own | changes)

    @property
    def uses_classifier(self) -> bool:
        """Whether some camera's names are a trained classifier's, alone or beside the gallery's."""
        return any(camera.names != "gallery" for camera in self.cameras.values())

    @property
    def gallery_path(self) -> Path:
        return self.paths.data / "gallery.db"

    @property
    def outbox_path(self) -> Path:
        return self.paths.data / "outbox.db"

    @property
    def home_assistant_path(self) -> Path:
        """What Home Assistant was told, for it to forget what is no more."""
        return self.paths.data / "home-assistant.json"

    @property
    def visits_path(self) -> Path:
        """Kept visits."""
        return self.paths.data / "visits.db"

    @property
    def camera_changes_path(self) -> Path:
        """What was changed about cameras by command."""
        return self.paths.data / CHANGES_FILE

    @property
    def model_choice_path(self) -> Path:
        """What `models use` chose."""
        return self.paths.data / "model-choice.json"

    @property
    def tokens_path(self) -> Path:
        """The digests of tokens, and whose they are."""
        return self.paths.data / "tokens.json"

    @property
    def sessions_path(self) -> Path:
        """The digests of browsers' sessions, over a restart."""
        return self.paths.data / "sessions.json"

    @property
    def classifiers_path(self) -> Path:
        """In which folders classifiers were put: whoever is forgotten is to be forgotten there."""
        return self.paths.data / "classifiers.json"

    @property
    def manifest_path(self) -> Path:
        """What models serve, written at start and after each switch."""
        return self.paths.data / "models.json"

    @property
    def figures_path(self) -> Path:
        """What `models bench` measured on this machine."""
        return self.paths.data / FIGURES_FILE
