"""What `check`, `doctor` and `models selftest` look at: each part of a configuration, tried for real.

Settings go in, findings come out; all that `check` may leave behind is the data folder with an empty gallery, and
`doctor` nothing. Runs on a loop of its own; cameras are tried side by side.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from gallery.classifier.classifier import NamedClasses
from gallery.errors import AuditBroken
from gallery.index.faiss_index import FaceIndex
from gallery.matching.rerank_library import load_library
from gallery.people import Profile
from gallery.storage.store import PersonStore
from recognition.errors import CodedError, EmbeddingSpaceMismatch
from recognition.models.manager import ModelManager
from recognition.runtimes.processor import this_processor
from recognition.specs.spec import EmbedderSpec
from streamer.access.token_file import read_tokens
from streamer.api.server import prepare_http
from streamer.errors import ErasureIncomplete, HttpAddressInvalid, PeopleNotCovered
from streamer.ingest.address import publishers_url
from streamer.ingest.probe import probe
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.rtsp.server import look
from streamer.listen import listen, resolve
from streamer.model_layer.calibrating import standings
from streamer.model_layer.coverage import coverage_in
from streamer.model_layer.enrolling import space_sizes
from streamer.model_layer.setup import ladder_of, make_manager, open_for_enrolment
from streamer.motion.areas import Areas
from streamer.mqtt.broker_check import check_broker, check_home_assistant
from streamer.mqtt.home_assistant.ledger import read_ledger
from streamer.naming.served import load_classifier
from streamer.pipeline.match_policy import own_threshold_spec
from streamer.process import key_source, make_data_folder, open_gallery, service_runs
from streamer.running.api_only import need_http
from streamer.settings import Settings
from streamer.upkeep.purge import due
from streamer.variables import expand_url
from streamer.webrtc.ice import read_servers


@dataclass(frozen=True, slots=True)
class Note:
    """What keeps nothing from starting, and somebody should see to: in a few words, with a stable code."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: ok or not, a line about it (`notes` are in it), and the stable code of its fault."""

    part: str
    ok: bool
    detail: str
    code: str | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to say of a part that is ok."""

    detail: str
    notes: tuple[Note, ...] = ()


OpenGallery = Callable[[Settings], PersonStore]


def _made(settings: Settings) -> PersonStore:
    make_data_folder(settings.paths.data)
    return open_gallery(settings)


async def check_everything(
    settings: Settings, *, opened: OpenGallery | None = _made, with_cameras: bool = True
) -> list[Finding]:
    """Processor, models, gallery, HTTP, broker and every enabled camera, each tried whatever became of the others.

    `opened` opens the gallery (None: there is none to look at); without `with_cameras` no camera's stream is opened.
    """
    enabled = [name for name, camera in settings.cameras.items() if camera.enabled]
    published = any(settings.cameras[name].is_published for name in enabled)
    cameras = enabled if with_cameras else []
    gallery = await _of_gallery(settings, opened) if opened else []
    return [
        _config(settings, enabled),
        await _try("processor", lambda: asyncio.to_thread(lambda: str(this_processor()))),
        await _try("models", lambda: _models(settings)),
        *gallery,
        *(
            [await _try("re-ranking", partial(_rerank_library, library))]
            if (library := settings.gallery.rerank_library)
            else []
        ),
        *([await _try("http", lambda: _http(settings))] if settings.http.enabled else []),
        await _try("broker", lambda: _broker(settings)),
        *(
            [await _try("home assistant", lambda: _home_assistant(settings))]
            if settings.mqtt.home_assistant.enabled
            else []
        ),
        *([await _try("rtsp ingest", lambda: look(settings.ingest.rtsp))] if published else []),
        *([await _try("webrtc", lambda: _webrtc(settings))] if published and settings.ingest.webrtc.enabled else []),
        *await asyncio.gather(*(_try(f"camera {name}", partial(_camera, name, settings)) for name in cameras)),
    ]


def _config(settings: Settings, enabled: Sequence[str]) -> Finding:
    troubles = {name: Areas(camera.masks, camera.regions).trouble for name, camera in settings.cameras.items()}
    notes = [Note("camera_sees_nothing", f"camera {name}: {troubles[name]}") for name in enabled if troubles[name]]
    told = [f"{len(settings.cameras)} cameras, {len(enabled)} of them enabled", *(note.text for note in notes)]
    return Finding("config", True, "; ".join(told), notes=tuple(notes))


async def _of_gallery(settings: Settings, opened: OpenGallery) -> list[Finding]:
    gallery = await _try("gallery", lambda: asyncio.to_thread(_gallery, settings, opened))
    return [
        gallery,
        *([await _try("calibration", lambda: asyncio.to_thread(_calibration, settings, opened))] if gallery.ok else []),
        *([await _try("classifier", lambda: _classifier(settings, opened))] if settings.uses_classifier else []),
    ]


async def check_api(settings: Settings) -> list[Finding]:
    """The same of what `serve --api-only` needs; nothing is left behind. Raises ConfigInvalid."""
    need_http(settings)
    return [
        Finding("config", True, "the API alone: cameras, broker and gallery are not looked at"),
        await _try("processor", lambda: asyncio.to_thread(lambda: str(this_processor()))),
        await _try("models", lambda: _models(settings)),
        *(
            [await _try("re-ranking", partial(_rerank_library, library))]
            if (library := settings.gallery.rerank_library)
            else []
        ),
        await _try("http", lambda: _http(settings, api_only=True)),
    ]


async def _try(part: str, look: Callable[[], Awaitable[str | Told]]) -> Finding:
    try:
        told = await look()
    except CodedError as error:
        return Finding(part, False, str(error), error.code)
    return Finding(part, True, told) if isinstance(told, str) else Finding(part, True, told.detail, notes=told.notes)


async def _models(settings: Settings) -> str:
    async with open_for_enrolment(settings) as recogniser:
        FaceIndex(recogniser.space, recogniser.embedder.spec.embedding_size)  # whether FAISS is there
        loaded = (recogniser.detector, recogniser.embedder)
        for model in loaded:
            await asyncio.to_thread(model.runner.self_test)
        told = [f"{m.name} on {m.device}" + "".join(f" ({text})" for text in m.notes) for m in loaded]
        return ", ".join(told)


def _gallery(settings: Settings, opened: OpenGallery) -> Told:
    manager = make_manager(settings)
    with opened(settings) as store:
        store.check()
        store.check_people()
        if (broken := store.audit_broken()) is not None:
            raise AuditBroken(
                f"entry {broken} of the audit log of {settings.gallery_path} was changed or is missing; compare it "
                "with that of a backup"
            )
        known = space_sizes(manager)
        for space, dim, people in store.sizes():
            if known.get(space, dim) != dim:
                raise EmbeddingSpaceMismatch(
                    f"{people} people in {settings.gallery_path} have templates of {dim} numbers in {space}, whose "
                    f"model gives {known[space]}: nobody is named by them; forget those people and enrol them anew"
                )
        told = [f"{store.count()} people in {settings.gallery_path}", _protection(store.key_id, settings)]
        notes = [
            *_key_notes(store.key_id, settings),
            *_due_notes(store, settings),
            *_coverage(store, manager, settings),
        ]
    return Told("; ".join([*told, *(note.text for note in notes)]), tuple(notes))


def _due_notes(store: PersonStore, settings: Settings) -> Iterator[Note]:
    """What is to be erased, and is not yet."""
    if store.is_vacuum_due:
        text = "whom it has forgotten is overwritten in it, and its file is still to be written anew"
        yield Note("vacuum_due", text)
    if cut_off := store.unfinished():
        text = f"the erasure of {len(cut_off)} is not finished: whosthere gallery purge"
        yield Note(ErasureIncomplete.code, text)
    if over := due(store, settings, time.time()):
        yield Note("purge_due", f"{len(over)} of them have had their time: whosthere gallery purge")


def _coverage(store: PersonStore, manager: ModelManager, settings: Settings) -> Iterator[Note]:
    """Who can't be named by an embedder that may serve."""
    coverage = coverage_in(store, manager, ladder_of(settings, manager))
    for name, lacking in coverage.lacking.items():
        if lacking:
            text = f"{lacking} have no template for {name}: whosthere gallery reindex {name}"
            yield Note(PeopleNotCovered.code, text)


def _calibration(settings: Settings, opened: OpenGallery) -> Told:
    """Which threshold each space is judged by, and whether its calibration still holds."""
    with opened(settings) as store:
        found = standings(settings, make_manager(settings), store)
    notes = tuple(
        Note(f"calibration_{one.state}", f"warning: {one.told}")
        for one in found.values()
        if one.state not in ("used", "none")
    )
    fine = [one.told for one in found.values() if one.state in ("used", "none")]
    return Told("; ".join([*fine, *(note.text for note in notes)]), notes)


async def _rerank_library(library: Path) -> str:
    await asyncio.to_thread(load_library, library)
    return f"{library} gives the built-in kernel's scores"


async def _classifier(settings: Settings, opened: OpenGallery) -> Told:
    """Whether it can be used by who is enrolled, for faces of the configured embedder."""
    space = own_threshold_spec(settings, make_manager(settings)).space

    def people() -> tuple[frozenset[str], Mapping[str, Profile]]:
        with opened(settings) as store:
            return store.forgotten(), store.profiles()

    forgotten, profiles = await asyncio.to_thread(people)
    classifier = await asyncio.to_thread(load_classifier, settings.paths.classifier, forgotten, space)
    named = NamedClasses.of(classifier, profiles)
    told = f"of {classifier.trained_at} in {settings.paths.classifier}; names {len(named.people)} people"
    notes = list[Note]()
    if strange := named.owners.count(None):
        text = f"{strange} of its people are nobody in the gallery (whosthere people set PERSON --external-id)"
        notes.append(Note("classifier_strangers", text))
    if (missing := len(profiles) - len(named.people)) > 0:
        notes.append(Note("classifier_outgrown", f"{missing} who are enrolled it can't name: train anew"))
    return Told("; ".join([told, *(note.text for note in notes)]), tuple(notes))


def _protection(key_id: str | None, settings: Settings) -> str:
    """What the gallery's encryption protects against, and what it does not. Raises MasterKeyError."""
    keys = key_source(settings)
    if key_id is None:
        return "plain: whoever reads that file, or a copy of it, reads names and faces (gallery.encryption)"
    place, _ = keys.locate(key_id)
    return (
        f"encrypted under master key {key_id} of {place.told}: a copy of paths.data alone tells of nobody, whoever "
        "has the key besides, or this machine while it runs, reads all; without the key nobody does: keep a copy apart"
    )


def _key_notes(key_id: str | None, settings: Settings) -> Iterator[Note]:
    """Where the key is another than the settings want. Raises MasterKeyError."""
    keys = key_source(settings)
    if key_id is None:
        return
    if keys.configured is not None and keys.locate(key_id)[0] != keys.configured:
        text = f"that is not the key of {keys.configured.told}, as gallery.master_key says: whosthere gallery rekey"
        yield Note("key_not_configured", text)
    if not settings.gallery.encryption:
        yield Note("encryption_unwanted", "gallery.encryption is false: whosthere gallery rekey makes it plain")


async def _http(settings: Settings, *, api_only: bool = False) -> Told:
    certificate = await prepare_http(settings.http)
    if api_only or not service_runs(settings.paths.data):
        place = await resolve(settings.http.host, settings.http.port, "http", HttpAddressInvalid)
        listen(place, reuse_port=api_only and settings.http.reuse_port).close()
    tokens = await asyncio.to_thread(read_tokens, settings.tokens_path)
    how = f"{settings.http.host} port {settings.http.port}, {len(tokens)} tokens"
    notes = () if tokens else (Note("tokens_none", "nobody is let in yet, for there is no token"),)
    if certificate is None:
        return Told(how, notes)
    if certificate.trouble:
        notes = (*notes, Note("certificate_ends", certificate.trouble))
    return Told(f"{how}, TLS: {certificate.trouble or f'certificate valid until {certificate.until}'}", notes)


async def _broker(settings: Settings) -> Told:
    found = await check_broker(settings.mqtt, time.time())
    return Told(found.told, tuple(Note(code, text) for code, text in found.warnings.items()))


async def _home_assistant(settings: Settings) -> str:
    path = settings.home_assistant_path
    return await check_home_assistant(settings.mqtt, await asyncio.to_thread(read_ledger, path, repair=False))


async def _webrtc(settings: Settings) -> str:
    servers = len(read_servers(settings.ingest.webrtc.ice_servers))
    if find_spec("aiortc") is None:
        return "not installed, which is fine where no browser publishes or watches: pip install 'whosthere[webrtc]'"
    return f"browsers may publish and watch; {servers or 'no'} STUN and TURN servers"


async def _camera(name: str, settings: Settings) -> str:
    camera = settings.cameras[name]
    if camera.is_published:
        PublishPoint(name, camera).login()
        return f"has its login; publishers come to {publishers_url(settings.ingest.rtsp, name)}"
    report = (await probe(expand_url(camera.url), camera, name)).report
    return f"{report.codec} {report.width}x{report.height}"


async def selftest_model(name: str, settings: Settings) -> str:
    """Load one model, hold it to its spec and to the bundled portraits; says what is worth knowing.

    Raises what ModelManager.open raises.
    """
    manager = make_manager(settings)
    model = await asyncio.to_thread(manager.open, name)
    told = [f"on {model.device}", f"batches of up to {model.max_batch}"]
    if isinstance(model.spec, EmbedderSpec):
        told.append(f"embedding space {model.spec.space}")
    told.append(await asyncio.to_thread(model.self_test))
    return ", ".join([*told, *model.notes])
