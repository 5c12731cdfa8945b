"""One look at all of an installation in whatever state: the machine, the folders, what `check` tries, the service.

A configuration goes in, a report comes out; nothing is left behind and nobody is disturbed. Runs on a loop of its own.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from gallery.retention import DAY_S
from gallery.storage.store import PersonStore
from recognition.errors import CodedError
from streamer.checks import Finding, check_everything
from streamer.doctor import folder, host, running, waiting
from streamer.doctor.cures import ENVIRONMENT, Cures
from streamer.doctor.trouble import SEVERITIES, Report, Trouble
from streamer.errors import ConfigError
from streamer.process import open_gallery, service_runs, store_of
from streamer.settings import PathsSettings, Settings
from streamer.settings_reading import Layers, config_folder, read_layers
from streamer.telemetry.logs import redacted_text
from streamer.upkeep.purge import is_far_ahead
from streamer.variables import env_path

BACKUP_OLD_S = 90 * DAY_S
_PASSED_OVER = (
    "whether a copy of the master key lies elsewhere, and whether a backup can be read there: nobody can tell from here"
)


async def examine(file: Path | None, overrides: Sequence[str], options: Sequence[str]) -> Report:
    """`options`: what leads commands to the same configuration."""
    try:
        layers = read_layers(file, overrides)
    except ConfigError as error:
        settings, where = Settings(), file or Path("whosthere.yaml")
        return await _without_config(error, settings, Cures(settings, where, tuple(options)), with_folder=False)
    try:
        changes = layers.changes()
        settings = layers.settings(changes)
    except ConfigError as error:
        settings = _paths_alone(layers)
        return await _without_config(error, settings, Cures(settings, layers.file, tuple(options)), with_folder=True)
    own = Path.cwd() / "whosthere.yaml" if layers.is_shipped else layers.file
    cures = Cures(settings, own, tuple(options))
    found = [*_configured(layers, settings, cures)]
    return await _examined(settings, cures, found)


def _paths_alone(layers: Layers) -> Settings:
    """Of a configuration that doesn't hold: the data folder that it names, and else what goes without saying."""
    changes = layers.changes_path
    return Settings() if changes is None else Settings(paths=PathsSettings(data=changes.parent))


def _of_variables(error: ConfigError, cures: Cures) -> str | None:
    """Which cure it has where it is not the configuration that is to be edited, but what its `${VAR}` stand for."""
    secrets = env_path(cures.file)
    if error.code == "config_unreadable" and secrets.name in str(error):
        return "secrets_incomplete"
    if "is not set" not in str(error):
        return None
    # Of the service alone, not of who looks.
    return "variable_unset" if ENVIRONMENT.exists() and not secrets.exists() else "secrets_incomplete"


async def _without_config(error: ConfigError, settings: Settings, cures: Cures, *, with_folder: bool) -> Report:
    in_changes = with_folder and str(settings.camera_changes_path) in str(error)
    code = "camera_changes_unreadable" if in_changes else _of_variables(error, cures) or error.code
    found = [Trouble("fault", "config", code, str(error), cures.of(code))]
    looked_at = ["config", "machine"]
    found += await _looked("machine", partial(host.look, settings, cures))
    if with_folder:
        looked_at.append("data folder")
        found += await _looked("data folder", partial(folder.look, settings, cures))
    unseen = ("models, gallery, broker, cameras and the service: mend the configuration first",)
    return Report(_sorted(found), tuple(looked_at), unseen, "nobody was asked: the configuration doesn't hold")


def _configured(layers: Layers, settings: Settings, cures: Cures) -> Iterator[Trouble]:
    if layers.is_shipped and layers.file.parent == config_folder():
        detail = "no --config and no whosthere.yaml in this folder: the shipped configuration counts"
        yield Trouble("hint", "config", "config_shipped", detail, cures.of("config_shipped"))
    if not any(camera.enabled for camera in settings.cameras.values()):
        detail = f"{layers.file} has no camera that is enabled: nobody is seen"
        yield Trouble("warning", "cameras", "cameras_none", detail, cures.of("cameras_none"))
    for name, camera in settings.cameras.items():
        if not camera.enabled:
            detail = "it is disabled"
            mend = cures.of("camera_disabled", f"camera {name}")
            yield Trouble("hint", f"camera {name}", "camera_disabled", detail, mend)


async def _examined(settings: Settings, cures: Cures, found: list[Trouble]) -> Report:
    found += await _looked("machine", partial(host.look, settings, cures))
    in_folder = await _looked("data folder", partial(folder.look, settings, cures))
    found += in_folder
    unseen = [_PASSED_OVER]
    runs, answers, told = await _service(settings, cures, found)
    parts = ["machine", "data folder", *(["service"] if answers else [])]
    can_enter = all(one.code != "data_folder_unwritable" for one in in_folder)
    if can_enter:
        findings = await _checked(settings, runs=runs, with_cameras=answers is None, found=found, cures=cures)
        parts += [finding.part for finding in findings]
    else:
        unseen.append("models, gallery, broker and cameras: this user can't enter the data folder")
    if answers is not None:
        already = {one.part for one in found if one.severity == "fault"}
        found += [one for one in running.troubles(answers, settings, cures) if one.part not in already]
        parts += [part for part in answers.parts if part.startswith("camera ")]
    elif can_enter and not runs:
        found += await _looked("outbox", partial(waiting.look, settings, cures))
        parts.append("outbox")
    if runs and answers is None:
        unseen.append("what the running service says of itself")
    return Report(_sorted(found), tuple(dict.fromkeys(parts)), tuple(unseen), told)


async def _service(settings: Settings, cures: Cures, found: list[Trouble]) -> tuple[bool, running.Answers | None, str]:
    """Whether one runs, what it answers, and a line about it."""
    try:
        runs = await asyncio.to_thread(service_runs, settings.paths.data)
    except CodedError as error:
        found.append(Trouble("fault", "service", error.code, str(error), cures.of(error.code)))
        return False, None, "nobody can tell whether one runs"
    if not runs:
        mend = cures.of("service_stopped")
        detail = f"no service runs with {settings.paths.data}"
        found.append(Trouble("hint", "service", "service_stopped", detail, mend))
        return False, None, "not running"
    address = running.address_of(settings.http)
    if address is None:
        return True, None, "running; http.enabled is false or http.port is 0, so that it can't be asked"
    answers = await running.ask(address)
    if answers is None:
        detail = f"a service runs with {settings.paths.data}, and {address} does not answer"
        found.append(Trouble("fault", "service", "service_silent", detail, cures.of("service_silent")))
        return True, None, "running, and silent"
    return True, answers, f"running, version {answers.version}, at {address}"


async def _checked(
    settings: Settings, *, runs: bool, with_cameras: bool, found: list[Trouble], cures: Cures
) -> list[Finding]:
    """What `check` says, by the same functions; the cameras of a running service are its own to speak of."""
    opened = open_gallery if runs else _looked_into if settings.gallery_path.exists() else None
    findings = await check_everything(settings, opened=opened, with_cameras=with_cameras)
    if opened is None:
        found.append(_nobody(cures))
    for finding in findings:
        if not finding.ok and finding.code is not None:
            mend = cures.of(finding.code, finding.part)
            found.append(Trouble("fault", finding.part, finding.code, redacted_text(finding.detail), mend))
        for note in finding.notes:
            text = redacted_text(note.text.removeprefix("warning: "))
            found.append(Trouble("warning", finding.part, note.code, text, cures.of(note.code, finding.part)))
    if opened is not None and any(finding.part == "gallery" and finding.ok for finding in findings):
        found += await _looked("gallery", partial(_kept, settings, opened, cures))
    return findings


def _looked_into(settings: Settings) -> PersonStore:
    """A copy in memory: the file is not brought up to date, not encrypted, and not made where there is none."""
    return store_of(settings, in_memory=True)


def _kept(settings: Settings, opened: Callable[[Settings], PersonStore], cures: Cures) -> Iterator[Trouble]:
    """Who is in the gallery, whether that is protected, and when it was copied last."""
    now = time.time()
    with opened(settings) as store:
        people, is_plain = store.count(), store.key_id is None
        copies = [entry.at for entry in store.audit_entries() if entry.action == "backed_up"]
        leapt = is_far_ahead(store, now) and people > 0
    if not people:
        yield _nobody(cures)
        return
    if is_plain and not settings.gallery.encryption:
        detail = "it is not encrypted: whoever gets a copy of its file has names and faces (gallery.encryption)"
        yield Trouble("hint", "gallery", "gallery_plain", detail, cures.of("gallery_plain"))
    if not copies:
        detail = f"no backup was ever made of the gallery ({people} people): what the disk loses, nobody has"
        yield Trouble("warning", "gallery", "never_backed_up", detail, cures.of("never_backed_up"))
    elif now - max(copies) > BACKUP_OLD_S:
        detail = f"the last backup of the gallery is {(now - max(copies)) / DAY_S:.0f} days old"
        yield Trouble("warning", "gallery", "backup_old", detail, cures.of("backup_old"))
    if leapt:
        detail = "the clock is more than 30 days ahead of the gallery's last change; look at the date"
        yield Trouble("hint", "clock", "clock_ahead", detail, cures.of("clock_ahead"))


def _nobody(cures: Cures) -> Trouble:
    detail = "nobody is enrolled: everybody is unknown"
    return Trouble("hint", "gallery", "gallery_empty", detail, cures.of("gallery_empty"))


async def _looked(part: str, look: Callable[[], Iterable[Trouble]]) -> list[Trouble]:
    """On a thread; a part that can't be looked at says so itself."""
    try:
        return await asyncio.to_thread(lambda: list(look()))
    except CodedError as error:
        return [Trouble("fault", part, error.code, str(error))]
    except OSError as error:
        return [Trouble("fault", part, "unreadable", f"can't be looked at: {error.strerror}")]


def _sorted(found: list[Trouble]) -> tuple[Trouble, ...]:
    """The worst first, each said once."""
    return tuple(sorted(dict.fromkeys(found), key=lambda one: SEVERITIES.index(one.severity)))
