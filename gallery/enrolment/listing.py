"""Many people to be enrolled: a folder of folders, another program's store, a CSV or a ZIP in, who they are and their
photos out.

Blocks for the files. Nothing of a ZIP is ever unpacked onto the disk. Nobody is guessed: what does not say whose it
is, is told.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from gallery.enrolment.csv_list import rows_in
from gallery.enrolment.enrol import Sitter
from gallery.enrolment.photo_reading import Photo, Read, of_bytes, of_file
from gallery.enrolment.report import Refused, refusal
from gallery.enrolment.stores import FaceStore, attempts_in, find_store, frigate
from gallery.errors import EnrolmentListInvalid, EnrolmentListMissing, NamesAlike, PhotoMisplaced
from gallery.people import Profile, name_key
from recognition.archive import Archive, Limits, open_archive
from recognition.errors import ArchiveInvalid, ImageTooLarge, ImageUnreadable
from recognition.image import MAX_BYTES

# What is tried: also kinds that can't be read, so that each is told.
PHOTOS = frozenset({
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".avif"),
    *(".heic", ".heif", ".tif", ".tiff", ".gif"),
})  # fmt: skip
_LIMITS = Limits("photos", files=500_000, file_bytes=8 << 30, total_bytes=256 << 30, ratio=200)
_ZIP = b"PK"
_OF_MACS = "__MACOSX"
_TOLD = 3  # in one line


@dataclass(frozen=True, slots=True)
class Listing:
    """`read`: what the people's photos are read by. `refused`: photos and rows that are nobody's; `ignored`: how many
    files are no photos. `alike`: people who are enrolled under no name, since others there have it, too.

    `program`: whose store it is, "" where it is nobody's; `attempts`: how many pictures that one filed under nobody.
    """

    sitters: tuple[Sitter, ...]
    read: Read
    refused: tuple[Refused, ...] = ()
    ignored: int = 0
    alike: tuple[tuple[Sitter, NamesAlike], ...] = ()
    program: str = ""
    attempts: int = 0

    @property
    def photos(self) -> int:
        return sum(len(sitter.photos) for sitter in self.sitters)

    @property
    def given(self) -> int:
        """Photos, with those that are nobody's, and of people whose names are alike."""
        return self.photos + len(self.refused) + sum(len(sitter.photos) for sitter, _ in self.alike)


@contextmanager
def open_listing(source: Path) -> Iterator[Listing]:
    """Raises EnrolmentListMissing, EnrolmentListInvalid, ArchiveInvalid."""
    try:
        folder = _in_folder(source) if source.is_dir() else None
        is_zip = folder is None and _begins_as_zip(source)
    except OSError as error:
        raise EnrolmentListMissing(
            f"{error.filename or source} can't be read ({error.strerror}); check the path, and who may read it"
        ) from None
    if folder is not None:
        yield _checked(folder, source)
    elif is_zip:
        with open_archive(source, _LIMITS, EnrolmentListMissing) as archive:
            yield _checked(_in_archive(source, archive), source)
    elif source.suffix.lower() == ".zip":
        raise ArchiveInvalid(f"{source} is no zip file, or is cut short; get it again")
    else:
        sitters, refused = rows_in(source)
        yield _checked(Listing(sitters, of_file, refused), source)


def _begins_as_zip(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(2) == _ZIP


def _checked(listing: Listing, source: Path) -> Listing:
    if not listing.sitters and listing.program and not listing.refused:
        more = f"; {listing.attempts} pictures there are filed under nobody" if listing.attempts else ""
        raise EnrolmentListInvalid(
            f"{source}: the faces of {listing.program} are of nobody yet{more}; name some people there first"
        )
    if not listing.sitters:
        told = "".join(f"; {one.path}: {one.why}" for one in listing.refused[:_TOLD])
        if len(listing.refused) > _TOLD:
            told += f"; and {len(listing.refused) - _TOLD} more"
        raise EnrolmentListInvalid(
            f"{source} says of nobody who that is{told}; give a folder (or a ZIP) with a folder for each person, named "
            "as the person is, or a CSV with the columns name,file"
        )
    return apart(listing)


def apart(listing: Listing) -> Listing:
    """The same without people whose names differ by capitals, blanks or underscores alone: one person or two?"""
    by_key: dict[str, list[Sitter]] = {}
    for sitter in listing.sitters:
        by_key.setdefault(name_key(sitter.who.name.replace("_", " ")), []).append(sitter)
    alike = []
    for same in by_key.values():
        if len(same) > 1:
            names = " and ".join(repr(sitter.who.name) for sitter in same)
            why = f"{len(same)} people there have one name ({names}); make them one, or give each a name of its own"
            alike += [(sitter, NamesAlike(why)) for sitter in same]
    kept = tuple(same[0] for same in by_key.values() if len(same) == 1)
    return replace(listing, sitters=kept, alike=tuple(alike))


def _in_folder(source: Path) -> Listing:
    """Raises OSError."""
    store = find_store(source)
    folder = source if store is None else store.faces
    files = []
    for entry in sorted(folder.iterdir()):
        if not entry.is_dir():
            files.append(entry)
        elif not entry.name.startswith("."):
            for lies_in, below, names in os.walk(entry, onerror=_raise):
                below.sort()
                files += [Path(lies_in, name) for name in sorted(names)]
    named = {file: PurePosixPath(file.relative_to(folder).as_posix()) for file in files if file.is_file()}
    return _listing(named, of_file, folder, store)


def _raise(error: OSError) -> None:
    raise error


def _in_archive(source: Path, archive: Archive) -> Listing:
    """Its names as paths below the ZIP's own: that is what its photos are called."""
    inside = {PurePosixPath(_readable(name)): name for name in sorted(archive.names)}
    lock = threading.Lock()
    # Whoever packs a folder has it in the ZIP, by the ZIP's own name.
    wrapped = all(len(name.parts) > 2 and name.parts[0] == source.stem for name in inside if _is_photo(name))
    paths = {source / name: PurePosixPath(*name.parts[1:]) if wrapped else name for name in inside}

    def read(path: Path) -> Photo:
        name = inside[PurePosixPath(path.relative_to(source))]
        size = archive.size_of(name)
        if size > MAX_BYTES:
            raise ImageTooLarge(f"{path} has {size >> 20} MiB, more than {MAX_BYTES >> 20}; make it smaller")
        try:
            with lock:
                data = archive.read(name)
        except ArchiveInvalid:
            raise ImageUnreadable(f"{path} is damaged, or packed in a way that can't be read; pack it anew") from None
        return of_bytes(data, path)

    return _listing(paths, read, source)


def _readable(name: str) -> str:
    """Macs write UTF-8 and do not say so: then it was read as IBM's code page 437."""
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def _is_photo(name: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") or part == _OF_MACS for part in name.parts)
    return name.suffix.lower() in PHOTOS and not hidden


def _listing(files: Mapping[Path, PurePosixPath], read: Read, source: Path, store: FaceStore | None = None) -> Listing:
    """Of files with their names, PERSON/PHOTO."""
    photos = {path: name for path, name in files.items() if _is_photo(name)}
    people: dict[str, list[Path]] = {}
    refused = []
    for path, name in photos.items():
        if len(name.parts) == 2:
            people.setdefault(name.parts[0], []).append(path)
        else:
            refused.append(refusal(path, PhotoMisplaced(_misplaced(name))))
    ignored = len(files) - len(photos)
    if store is None and attempts_in(people):
        store = frigate(source)
    if store is None:
        return Listing(_sitters(people), read, tuple(refused), ignored)
    attempts = people.pop(store.attempts, []) if store.attempts else []
    named = tuple(Sitter(Profile(store.name_of(name)), tuple(found)) for name, found in people.items())
    return Listing(named, read, tuple(refused), ignored, program=store.program, attempts=len(attempts))


def _misplaced(name: PurePosixPath) -> str:
    if len(name.parts) == 1:
        return "it lies in nobody's folder; put it into one that is named as the person is"
    return "it lies in a folder within a folder, and whose it is is not clear; put it into the person's own"


def _sitters(people: Mapping[str, Iterable[Path]]) -> tuple[Sitter, ...]:
    return tuple(Sitter(Profile(name), tuple(photos)) for name, photos in people.items())
