"""A person's ZIP (GDPR Art. 15 and 20): all that is kept of one person, in clear, to be read by anybody or imported.

person.json, photos/N.jpg, templates.json, audit.json (what was done), visits/... Blocks for disk I/O. Nothing is
unpacked onto the disk.
"""

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from gallery.copies.person_document import (
    AUDIT,
    FORMAT,
    PERSON,
    TEMPLATES,
    PersonPart,
    TemplatesPart,
    Version,
    person_document,
    person_of,
    photo_file,
    templates_document,
)
from gallery.errors import PersonFileInvalid, PersonFileMissing, PersonFileTooNew, TargetExists, TargetUnwritable
from gallery.portable import PortablePerson
from recognition.archive import Archive, Limits, open_archive
from recognition.errors import CodedError
from recognition.whole_file import creating_unseen

LIMITS = Limits("one person", files=20_000, file_bytes=256 << 20, total_bytes=2 << 30, ratio=200)
_LARGEST_JPEG_BYTES = 4 << 20
_LARGEST_CHIP_PX = 1024
_FORMAT_NAME = FORMAT.rpartition("/")[0]
Part = TypeVar("Part", bound=BaseModel)


def write_bundle(
    path: Path,
    person: PortablePerson,
    *,
    at: float,
    audit: Sequence[Mapping[str, object]] = (),
    visits: Iterable[tuple[str, bytes]] = (),
    record: Callable[[], None] = lambda: None,
) -> None:
    """Write the ZIP, for its owner alone and whole or not at all. `visits`: (name below visits/, bytes).

    `record` is called when all of it is there, before it gets its name: nothing leaves the gallery untold. Raises
    TargetExists and TargetUnwritable.
    """
    try:
        with creating_unseen(path) as draft:
            fill_bundle(draft, person, at=at, audit=audit, visits=visits)
            record()
    except OSError as error:
        raise target_error(path, error) from None


def fill_bundle(
    target: Path | BinaryIO,
    person: PortablePerson,
    *,
    at: float,
    audit: Sequence[Mapping[str, object]] = (),
    visits: Iterable[tuple[str, bytes]] = (),
) -> None:
    """The same into a file that is there, as it comes. Raises OSError."""
    with zipfile.ZipFile(target, "w") as archive:
        _put(archive, PERSON, _json(person_document(person, at)))
        for number, photo in enumerate(person.photos, 1):
            if photo.jpeg is not None:
                _put(archive, photo_file(number), photo.jpeg)
        _put(archive, TEMPLATES, _json(templates_document(person)))
        _put(archive, AUDIT, _json({"entries": list(audit)}))
        for name, data in visits:
            _put(archive, f"visits/{name}", data)


def target_error(path: Path, error: OSError) -> CodedError:
    """Why a new file was not made, in our words."""
    if isinstance(error, FileExistsError):
        return TargetExists(f"{path} is there already; give a name that is free: nothing is written over")
    return TargetUnwritable(f"{path} can't be written ({error.strerror}); check its folder, and make room there")


def read_bundle(path: Path, file: BinaryIO | None = None) -> PortablePerson:
    """Read a ZIP of write_bundle(), of this gallery or another. Kept visits and the audit log in it stay there.
    `file`: it is open, and only called `path`.

    Raises PersonFileMissing, PersonFileInvalid, PersonFileTooNew and ArchiveInvalid (no ZIP, or one that is not to be
    trusted).
    """
    with open_archive(path, LIMITS, PersonFileMissing, file) as archive:
        if PERSON not in archive.names:
            raise PersonFileInvalid(f"{path} holds no {PERSON}: it is no person's ZIP; make one by people export")
        document = archive.read(PERSON)
        version = _parsed(path, PERSON, Version, document).format
        if version != FORMAT and version.startswith(f"{_FORMAT_NAME}/"):
            raise PersonFileTooNew(f"{path} is of format {version}, and this whosthere reads {FORMAT}; update it")
        person = _parsed(path, PERSON, PersonPart, document)
        jpegs = [None if photo.file is None else _jpeg(path, archive, photo.file) for photo in person.photos]
        templates = _parsed(path, TEMPLATES, TemplatesPart, _read(path, archive, TEMPLATES))
    try:
        return person_of(person, templates, jpegs)
    except (ValueError, CodedError) as error:
        raise PersonFileInvalid(f"{path} does not fit together ({error}); export the person again") from None


def _read(path: Path, archive: Archive, name: str) -> bytes:
    if name not in archive.names:
        raise PersonFileInvalid(f"{path} holds no {name}, which belongs to it; export the person again")
    return archive.read(name)


def _jpeg(path: Path, archive: Archive, name: str) -> bytes:
    from recognition.image import decode_image  # OpenCV and PyAV, which writing one does without

    data = _read(path, archive, name)
    try:
        if not data.startswith(b"\xff\xd8") or len(data) > _LARGEST_JPEG_BYTES:
            raise PersonFileInvalid(f"{name} is no JPEG of a face")
        picture = decode_image(data, name)
        if max(picture.width, picture.height) > _LARGEST_CHIP_PX:
            raise PersonFileInvalid(f"{name} has {picture.width}x{picture.height} pixels, more than a kept face has")
    except CodedError as error:
        raise PersonFileInvalid(f"{path}: a picture in it can't be used ({error}); export the person again") from None
    return data


def _parsed(path: Path, name: str, part: type[Part], document: bytes) -> Part:
    try:
        return part.model_validate(orjson.loads(document))
    except orjson.JSONDecodeError:
        raise PersonFileInvalid(f"{path}: {name} in it is no JSON; export the person again") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or name
        raise PersonFileInvalid(f"{path}: {name}: {where}: {first['msg']}; export the person again") from None


def _json(document: object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """With the day of a ZIP's first hour on it: when a person was exported is in person.json."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o600 << 16
    info.compress_type = zipfile.ZIP_STORED if name.endswith(".jpg") else zipfile.ZIP_DEFLATED
    archive.writestr(info, data)
