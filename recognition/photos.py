"""Photos of many people: a folder or a zip with one folder for each person in, decoded photos out.

Blocks for each file that is read. For evaluation and training; a zip is read in place, never unpacked.
"""

import hashlib
import zipfile
import zlib
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from recognition.arrays import F32
from recognition.errors import ImageMissing, ImageUnreadable
from recognition.faces import Detections
from recognition.image import MAX_BYTES, ArrayImage, Image, decode_image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


class PhotoSet:
    """The photos of a folder or a zip, by their names within it (`Ada_Lovelace/Ada_Lovelace_0001.jpg`)."""

    def __init__(self, source: Path) -> None:
        """Raises ImageMissing where there is nothing to read, ImageUnreadable where it is no zip."""
        self.source = source
        self._zip: zipfile.ZipFile | None = None
        if source.is_dir():
            files = [file.relative_to(source).as_posix() for file in source.rglob("*") if file.is_file()]
        else:
            try:
                self._zip = zipfile.ZipFile(source)
            except OSError as error:
                raise ImageMissing(f"{source} can't be read ({error.strerror}); check the path") from None
            except zipfile.BadZipFile:
                raise ImageUnreadable(f"{source} is neither a folder nor a zip that can be read") from None
            files = self._zip.namelist()
        # What begins with a dot is no photo: Macs put such files into their zips.
        self.names = tuple(sorted(f for f in files if _is_photo(PurePosixPath(f))))
        if not self.names:
            raise ImageMissing(f"{source} holds no photo; want one folder of JPEG or PNG files for each person")

    def person_of(self, name: str) -> str:
        """Whose photo this is: the folder that it lies in."""
        return PurePosixPath(name).parent.name

    def read(self, name: str) -> ArrayImage:
        """One photo's pixels. Raises ImageMissing, ImageEmpty, ImageTooLarge and ImageUnreadable."""
        return decode_image(self.bytes_of(name), f"{self.source}: {name}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all names and contents: the same for a folder and for a zip of it."""
        total = hashlib.sha256()
        for name in self.names:
            total.update(f"{name}\0{hashlib.sha256(self.bytes_of(name)).hexdigest()}\n".encode())
        return total.hexdigest()

    def bytes_of(self, name: str) -> bytes:
        """One photo's file. Raises ImageMissing and ImageUnreadable."""
        try:
            if self._zip is None:
                return (self.source / name).read_bytes()
            if self._zip.getinfo(name).file_size > MAX_BYTES:
                raise ImageUnreadable(f"{self.source}: {name} has more than {MAX_BYTES >> 20} MiB; make it smaller")
            return self._zip.read(name)
        except KeyError:
            raise ImageMissing(f"{self.source} holds no {name}; check the list and the photos") from None
        except (zipfile.BadZipFile, zlib.error, EOFError):
            raise ImageUnreadable(f"{self.source}: {name} is damaged; get the zip again") from None
        except (NotImplementedError, RuntimeError):  # a compression that Python lacks, a password
            raise ImageUnreadable(f"{self.source}: {name} can't be unpacked; unpack the zip, give the folder") from None
        except OSError as error:
            raise ImageMissing(f"{self.source}: {name} can't be read ({error.strerror}); check the path") from None


def _is_photo(file: PurePosixPath) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def nearest_to_centre(found: Detections, image: Image) -> int | None:
    """Which face a photo is of: the one whose box's middle is nearest to the photo's; None without a face."""
    if not len(found):
        return None
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    return int(np.hypot(*(middles - np.array([image.width / 2, image.height / 2], np.float32)).T).argmin())


def central_face(found: Detections, image: Image) -> F32:
    """The landmarks (1,5,2) of the face that a photo is of; (0,5,2) without a face."""
    which = nearest_to_centre(found, image)
    return found.landmarks[:0] if which is None else found.landmarks[which : which + 1]
