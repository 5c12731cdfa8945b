"""Another master key for all that is encrypted: what was begun and cut off is finished first. Blocks.

The new key is on the disk before anything is put under it, and takes the old one's place when everything is: whatever
ends this in between, each file names the key that it is under, and both are there.
"""

from dataclasses import dataclass
from pathlib import Path

from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore
from streamer.errors import NewKeyNeeded
from streamer.kept_visits.visits_file import VisitsFile


@dataclass(frozen=True, slots=True)
class Rotated:
    """Ids of master keys, None: plain. `was_finished`: a rotation that had been cut off; `vacuumed`: pages under the
    former key are gone from the gallery's file. `told`: where the new key is.
    """

    former: str | None
    key: str | None
    was_finished: bool
    vacuumed: bool
    told: str


def rotate(store: PersonStore, keys: KeySource, visits_path: Path, *, encrypt: bool) -> Rotated:
    """Put the gallery and kept visits under a new master key, the one that keys has coming or one that is made; encrypt
    False: make them plain.

    Raises NewKeyNeeded, MasterKeyError, GalleryError and KeptVisitsError.
    """
    former = store.key_id
    if not encrypt:
        if former is not None:
            store.rekey(None)
        _rekey_visits(visits_path, keys, None)
        return Rotated(former, None, False, store.vacuum(), "nowhere")
    if keys.configured is not None and keys.coming is None:
        raise NewKeyNeeded(
            f"the master key comes from {keys.configured.told}, where only you can put another one: give the new one "
            "with --new-file, --new-variable or --new-command"
        )
    was_begun = keys.coming is None and keys.next_file.exists()
    key = keys.begin_rotation(store.path.parent)
    if former != key.id:
        store.rekey(key)
    _rekey_visits(visits_path, keys, key)
    vacuumed = store.vacuum()
    if keys.coming is None:
        keys.end_rotation()
    return Rotated(former, key.id, was_begun, vacuumed, keys.coming.told if keys.coming else keys.told)


def _rekey_visits(path: Path, keys: KeySource, key: MasterKey | None) -> None:
    if path.exists():
        with VisitsFile(path, keys) as file:
            file.rekey(key)
