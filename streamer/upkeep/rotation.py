"""Another master key for all that is encrypted: what was begun and cut off is finished first. Blocks.

The new key is on the disk before anything is put under it, and takes the old one's place when everything is: whatever
ends this in between, each file names the key that it is under, and both are there.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gallery.errors import GalleryUnwritable
from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore
from recognition.whole_file import held_alone
from streamer.errors import KeptVisitsDamaged, NewKeyNeeded
from streamer.kept_visits.visits_file import VisitsFile


@dataclass(frozen=True, slots=True)
class Rotated:
    """Ids of master keys, None: plain. `was_finished`: a rotation that had been cut off; `vacuumed`: what was sealed
    under the former key is gone from the files. `told`: where the new key is.
    """

    former: str | None
    key: str | None
    was_finished: bool
    vacuumed: bool
    told: str


def rotate(store: PersonStore, keys: KeySource, visits_path: Path, *, encrypt: bool) -> Rotated:
    """Put the gallery and kept visits under a new master key, the one that keys has coming or one that is made; encrypt
    False: make them plain. One at a time: another that was begun is waited for.

    Raises NewKeyNeeded, MasterKeyError, GalleryError and KeptVisitsError.
    """
    if encrypt and keys.configured is not None and keys.coming is None:
        raise NewKeyNeeded(
            f"the master key comes from {keys.configured.told}, where only you can put another one: give the new one "
            "with --new-file, --new-variable or --new-command"
        )
    with _one_at_a_time(store.path):
        if not encrypt:
            former = store.rekey(None)
            tidied = _rekey_visits(visits_path, keys, None)
            return Rotated(former, None, False, store.vacuum() and tidied, "nowhere")
        was_begun = keys.coming is None and keys.next_file.exists()
        key = keys.begin_rotation(store.path.parent)
        former = store.rekey(key)
        tidied = _rekey_visits(visits_path, keys, key)
        vacuumed = store.vacuum() and tidied
        if keys.coming is None:
            keys.end_rotation(key)
        return Rotated(former, key.id, was_begun, vacuumed, keys.coming.told if keys.coming else keys.told)


@contextmanager
def _one_at_a_time(gallery_path: Path) -> Iterator[None]:
    """Two would each put a part under a key of their own, and the one that ends takes away what the other needs."""
    with ExitStack() as stack:
        try:
            stack.enter_context(held_alone(gallery_path))
        except OSError as error:
            raise GalleryUnwritable(
                f"gallery {gallery_path} can't be locked ({error.strerror}); free some room, let this user write its "
                "folder"
            ) from None
        yield


def _rekey_visits(path: Path, keys: KeySource, key: MasterKey | None) -> bool:
    """False: what was sealed before is in their log still."""
    if not path.exists():
        return True
    try:
        with VisitsFile(path, keys) as file:
            return file.rekey(key)
    except KeptVisitsDamaged as damage:
        raise KeptVisitsDamaged(
            f"{damage}; the gallery is done: move {path.name} away, and run the same gallery rekey again, which does "
            "the rest"
        ) from None
