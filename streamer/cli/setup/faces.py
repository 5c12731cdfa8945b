"""Whom `setup` enrols: a folder, a list or another program's store, looked at before it is agreed to. Blocks."""

from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gallery.enrolment.enrol import Sitter
from gallery.enrolment.listing import PHOTOS, Listing
from gallery.enrolment.photo_reading import of_file
from gallery.enrolment.stores import find_store
from gallery.people import Profile
from recognition.errors import CodedError
from streamer.cli.enrolment.telling import show_store
from streamer.cli.setup.asking import ask, ask_secret, confirm, heading, say, waiting, wrong
from streamer.enrolment.compreface import KEY, is_address
from streamer.enrolment.people_source import open_people
from streamer.variables import Unset, environment, variable

_USUAL = ("/media/frigate/clips/faces", "/opt/frigate/storage/clips/faces", ".storage")


@dataclass(frozen=True, slots=True)
class People:
    """`name`: whose all the photos of `source` are; None: it says so itself. environ: with a key that was typed."""

    source: str
    name: str | None = None
    environ: Mapping[str, str] | None = field(default=None, repr=False)

    @contextmanager
    def opened(self) -> Iterator[Listing]:
        """Raises what open_people() does."""
        if self.name is None:
            with open_people(self.source, self.environ) as listing:
                yield listing
        else:
            yield Listing((Sitter(Profile(self.name), tuple(photos_of_one(Path(self.source)))),), of_file)


def photos_of_one(source: Path) -> list[Path]:
    """Of a photo, or of a folder of photos without folders; nothing where it is neither. Blocks."""
    if source.is_file():
        return [source] if source.suffix.lower() in PHOTOS else []
    if not source.is_dir() or find_store(source) is not None:
        return []
    below = sorted(source.iterdir())
    if any(one.is_dir() and not one.name.startswith(".") for one in below):
        return []
    return [one for one in below if one.suffix.lower() in PHOTOS and not one.name.startswith(".")]


def given(source: str) -> People:
    """Of --faces, looked at. Raises what open_people() does."""
    people = People(source)
    with people.opened() as listing:
        show_store(listing)
    return people


def dialogue() -> People | None:
    """None: nobody for now."""
    heading(4, "People")
    say(
        "  a folder with a folder for each person (or the photos of one person), a CSV, a ZIP, a folder of Frigate or "
        "Double Take, or the URL of a CompreFace; each photo that is refused is named, with the reason"
    )
    while True:
        answer = ask("Whom to enrol from (Enter: nobody now)", _found_store())
        if not answer or answer == "none":
            return None
        people = _asked(str(Path(answer).expanduser()) if not is_address(answer) else answer)
        try:
            with waiting("  looking"), people.opened() as listing:
                photos, sitters, alike = listing.photos, len(listing.sitters), len(listing.alike)
                whose = f" in {listing.program}" if listing.program else ""
        except CodedError as error:
            wrong(error)
            continue
        clash = f" ({alike} more have names that are too alike)" if alike else ""
        if confirm(f"  {photos} photos of {sitters} people{whose}{clash}: enrol them?", default=True):
            return people


def _asked(source: str) -> People:
    """With what else has to be known of it."""
    if is_address(source):
        try:
            variable(KEY)
        except Unset:
            key = ask_secret("  API key of its recognition service (kept nowhere)")
            return People(source, environ=ChainMap({KEY: key}, environment()))  # type: ignore[arg-type]
    elif photos_of_one(Path(source)):
        name = ""
        while not name:
            name = ask("  Whose photos are these (a name)")
        return People(source, name)
    return People(source)


def _found_store() -> str:
    """Where such usually lie, if one lies there."""
    return next((place for place in _USUAL if Path(place).is_dir() and find_store(Path(place))), "")
