"""The steps of an erasure, in their order: each takes the task and says what it did and what it had to leave.

A step is whole by itself and may be taken again: what is gone is gone. Blocks.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from gallery.classifier.errors import ClassifierDamaged, ClassifierMissing, ClassifierStale
from gallery.classifier.folder import erase_drafts, has_faces, make_stale, people_of
from gallery.errors import GalleryError, PersonNotFound
from gallery.storage.store import PersonStore
from recognition.errors import CodedError
from streamer.byte_search import holds
from streamer.erasure.report import Left, Outcome, counted, listed
from streamer.erasure.search import search
from streamer.erasure.task import Task
from streamer.erasure.topics import Topics, await_erased, erase_topics
from streamer.errors import AlreadyRunning, BrokerError, KeptVisitsError, KeptVisitsMissing, OutboxDamaged, OutboxError
from streamer.events.damage import side_files
from streamer.events.erasing import blot_set_aside, set_aside_files
from streamer.events.outbox_file import Changes, OutboxFile
from streamer.kept_visits.visits_file import VisitsFile
from streamer.mqtt.home_assistant.devices import Naming
from streamer.mqtt.home_assistant.ledger import told_devices
from streamer.naming.places import trained_places
from streamer.steady import boot_id, steady_s

log = logging.getLogger(__name__)

SERVICE_WITHIN_S = 10.0
VACUUM_TRIES = 3
_LOG_WITHIN_S = 1.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """`about`: what is being done, for who waits."""

    name: str
    about: str
    run: Callable[[Task], Outcome]


def destroy_keys(task: Task) -> Outcome:
    """The keys are overwritten, rows deleted, the ids written down: nobody is known by then. Raises GalleryError."""
    gone, photos, templates, negatives, spared = 0, 0, 0, 0, set()
    with task.store() as store:
        before, alike = store.count_negatives(), _alike(task, store)
        ids = task.person_ids.union(*(store.former_ids(one) for one in task.person_ids))
        visits = len(_seen_in_visits(task, ids))
        for person_id in sorted(task.person_ids):
            kept, own = store.photos(person_id), store.count_negatives(person_id)
            try:
                if person_id not in task.why:
                    store.forget(person_id, empty_log=False, thresholds=alike)
                elif not store.forget_if(person_id, task.is_over, why=task.why[person_id], thresholds=alike):
                    spared.add(person_id)  # the consent was renewed just now, say
                    continue
            except PersonNotFound:
                store.forget_absent(person_id)  # whatever is left of them is erased
                continue
            gone, photos, negatives = gone + 1, photos + len(kept), negatives + own
            templates += sum(len(photo.spaces) for photo in kept)
        kind = "keys destroyed" if store.key_id is not None else "erased (the gallery is not encrypted)"
        if before:
            store.drop_negatives(_seen_in_visits(task, (task.person_ids - spared) | store.unfinished()))
        is_overwritten, left = store.empty_log(_LOG_WITHIN_S), store.count_negatives()
    people = counted(gone, "person", "people")
    done = f"{people}: {kind}, {counted(photos, 'photo')} and {counted(templates, 'template')} deleted"
    if negatives:
        done += f", {counted(negatives, 'negative')} too"
    if alike:
        done += (
            f"; {counted(before - left - negatives, 'negative')} of others showed them, or were of their visits: gone"
        )
    if not is_overwritten:
        done += "; somebody reads the log that held them, emptied with the files"
    counts = {"photos": photos, "templates": templates, "negatives": negatives}
    return Outcome(done, spared=frozenset(spared), counts=counts, visits=0 if spared else visits)


def _seen_in_visits(task: Task, person_ids: Collection[str]) -> list[str]:
    """What negatives of the visits say that are erased with these people."""
    try:
        with VisitsFile(task.settings.visits_path, None) as file:
            return [f"event {event_id}" for event_id in file.ids_of(person_ids)]
    except KeptVisitsError:  # told by the step that erases them
        return []


def _alike(task: Task, store: PersonStore) -> Mapping[str, float]:
    """By space, from which cosine on a negative of somebody else shows one who is forgotten; nothing where there is no
    negative. What a model is needed for that is not known any more is held to the lowest of all thresholds, and, where
    none is known, all that can be compared goes: a negative can be made anew, a face that stayed is not forgotten.
    """
    if not store.count_negatives():
        return {}
    # All of the models, which most erasures do without.
    from streamer.model_layer.enrolling import verifying_thresholds
    from streamer.model_layer.setup import make_manager

    known: dict[str, float] = {}
    try:
        manager = make_manager(task.settings)
        known = verifying_thresholds(manager)
        manager.close()
    except CodedError as error:
        log.warning("models: %s; all negatives that can be compared with who is forgotten are erased", error)
    return dict.fromkeys((space for space, *_ in store.sizes()), min(known.values(), default=-1.0)) | known


def erase_visits(task: Task) -> Outcome:
    """The kept visits that name one of them, whole. Needs no key."""
    path = task.settings.visits_path
    try:
        with VisitsFile(path, None) as file:
            gone = file.forget(task.person_ids)
            file.tidy()
            gone = max(gone, task.visits)  # the service that runs was faster
    except KeptVisitsMissing:
        return Outcome("no visits are kept")
    except KeptVisitsError as error:
        return Outcome("", (Left(path.name, f"{error}", "you"),))
    return Outcome(f"{counted(gone, 'kept visit')} erased", counts={"visits": gone})


def clear_outbox(task: Task) -> Outcome:
    """Messages that wait, last sightings, and damaged outboxes that were set aside; by the service if one runs."""
    path = task.settings.outbox_path
    if task.in_service:
        return Outcome("the service has its outbox erased as it notices")
    until_s = time.monotonic() + SERVICE_WITHIN_S
    while True:
        if task.service_runs():
            if not _outbox_holds(task):
                return Outcome("the service has erased waiting messages and last sightings")
            if time.monotonic() > until_s:
                return Outcome("", (Left(path.name, "the running service has not erased it yet", "service"),))
            time.sleep(_LOOK_EVERY_S)
            continue
        try:
            return _clear_unused_outbox(task)
        except AlreadyRunning:  # a service has started just now
            if time.monotonic() > until_s:
                return Outcome("", (Left(path.name, "another process uses it", "service"),))
            time.sleep(_LOOK_EVERY_S)
        except OutboxDamaged as damage:
            return Outcome("", (Left(path.name, f"{damage}", "service"),))
        except (OutboxError, OSError) as error:
            return Outcome("", (Left(path.name, f"it can't be written now ({error})", "service"),))


def _clear_unused_outbox(task: Task) -> Outcome:
    path, events = task.settings.outbox_path, task.settings.events
    waited = 0
    if path.exists():
        file = OutboxFile(path, events.outbox_limit, events.outbox_max_age_h * 3600.0, steady_s(), boot_id())
        try:
            waited = file.count
            file.write(Changes(forgotten=set(task.person_ids)), steady_s())
            file.scrub(task.person_ids)
            waited -= file.count
        finally:
            file.close()
    aside = blot_set_aside(path, task.person_ids)
    told = f"{counted(waited, 'waiting message')} erased, last sightings too"
    return Outcome(f"{told}; written over in {counted(aside, 'file')} set aside" if aside else told)


def _outbox_holds(task: Task) -> bool:
    path = task.settings.outbox_path
    files = (path, side_files(path)[0], *set_aside_files(path))
    return any(holds(file, task.person_ids) for file in files)


def empty_topics(task: Task) -> Outcome:
    """What the broker retains of them; by the service if one runs, and at each of its starts.

    That is where Home Assistant is made to forget them, too: at once where it runs, else when it starts again.
    """
    mqtt = task.settings.mqtt
    devices = told_devices(task.settings.home_assistant_path, task.person_ids)
    if mqtt.home_assistant.enabled:
        naming = Naming.of(mqtt)
        devices = sorted({*devices, *(naming.topic(naming.key("person", one)) for one in task.person_ids)})
    if task.in_service:
        return Outcome("the service has its topics emptied as it notices")
    try:
        if task.service_runs():
            topics = asyncio.run(await_erased(mqtt, task.person_ids, SERVICE_WITHIN_S, devices))
        else:
            topics = asyncio.run(erase_topics(mqtt, task.person_ids, devices))
    except BrokerError as error:
        return Outcome("", (Left("retained MQTT topics", f"{error}", "service"),))
    return _of_topics(topics, devices)


def _of_topics(topics: Topics, devices: Sequence[str]) -> Outcome:
    if topics.left:
        return Outcome("", tuple(Left(topic, "the broker still retains it", "service") for topic in topics.left))
    erased = f"{listed(topics.erased)} emptied; nothing retained names them" if topics.erased else "none retained"
    told = "emptied (the broker lets this login not look whether they are)" if topics.unseen else erased
    return Outcome(f"{told}; Home Assistant forgets them now, or when it starts again" if devices else told)


def retire_classifiers(task: Task) -> Outcome:
    """Those that know whoever is not enrolled (any more): nobody uses them from now on, and faces and ids go.

    So does one of another system's ids, which tell nothing of who is who here, and of a person who became another.
    """
    left, retired, settings = [], 0, task.settings
    with task.store() as store:
        enrolled = store.profiles().keys()
    try:
        places = trained_places(settings)
    except OSError as error:
        places = [settings.paths.classifier]
        why = f"where classifiers of before lie can't be read ({error.strerror})"
        left.append(Left(settings.classifiers_path.name, why, "purge"))
    for place in places:
        erase_drafts(place)
        try:
            is_fine = people_of(place) <= enrolled
        except ClassifierStale:
            is_fine = True
        except (ClassifierMissing, ClassifierDamaged):  # a file is missing: the others may be there
            is_fine = not has_faces(place)
        if is_fine:
            continue
        try:
            make_stale(place)
        except OSError as error:
            left.append(Left(str(place), f"a classifier there can't be erased ({error.strerror})", "purge"))
        else:
            retired += 1
    told = f"{counted(retired, 'classifier')} erased: train anew" if retired else "none was trained on them"
    return Outcome("" if left else told, tuple(left))


def write_anew(task: Task) -> Outcome:
    """The gallery without what was deleted, and without the log of it."""
    name, why = task.settings.gallery_path.name, "no room to write it anew, or others use it"
    try:
        with task.store() as store:
            if any(store.vacuum() for _ in range(VACUUM_TRIES)):
                return Outcome(f"{name} written anew, its log emptied")
    except GalleryError as error:
        why = str(error)
    return Outcome("", (Left(name, f"what was deleted may still be in its free pages ({why})", "purge"),))


def look_everywhere(task: Task) -> Outcome:
    """Their ids in every file of paths.data, but in the list of the forgotten, the audit log and the list of what Home
    Assistant was told."""
    try:
        found = search(task)
    except (GalleryError, OSError) as error:
        return Outcome("", (Left(str(task.data), f"can't be searched ({error})", "you"),))
    if found.left:
        return Outcome("", found.left)
    where = "the list of the forgotten and the audit log"
    if holds(task.settings.home_assistant_path, task.person_ids):
        where = "the list of the forgotten, the audit log and the list of what Home Assistant is to forget"
    return Outcome(f"{counted(found.files, 'file')} searched: the id is in {where}")


STEPS = (
    Step("keys", "destroying the keys", destroy_keys),
    Step("visits", "erasing kept visits", erase_visits),
    Step("outbox", "erasing messages that wait", clear_outbox),
    Step("topics", "emptying retained topics", empty_topics),
    Step("classifiers", "erasing classifiers", retire_classifiers),
    Step("files", "writing the gallery anew", write_anew),
    Step("search", "looking for what is left", look_everywhere),
)
