"""Photo files by several writers: turned as they say, or refused in words that say what to do."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognition.errors import ImageCutShort, ImageKindUnsupported, ImageTooLarge, ImageUnreadable
from recognition.image import decode_image, read_image
from recognition.photo_files import cut_short, declared_size, kind_of
from tests import photo_writers as writers
from tests.photo_writers import encoded, upright

TURNED = [
    *(writers.jpeg_by_pillow, writers.jpeg_by_opencv),
    *(writers.png_by_pillow, writers.png_by_opencv),
    *(writers.webp_by_pillow, writers.webp_by_hand),
    *(writers.avif_by_pillow, writers.avif_by_hand),
]


def corners(picture: np.ndarray) -> str:
    """r, g, b or . in the corners, row by row."""
    height, width = picture.shape[:2]
    told = ""
    for y, x in ((8, 8), (8, width - 9), (height - 9, 8), (height - 9, width - 9)):
        blue, green, red = (int(value) > 180 for value in picture[y, x])
        told += "r" if red else "g" if green else "b" if blue else "."
    return told


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("write", TURNED, ids=lambda write: write.__name__)
def test_a_photo_is_turned_as_its_file_says(write: Callable[[int], bytes], orientation: int) -> None:
    picture = decode_image(write(orientation), "photo").bgr()
    assert picture.shape == (writers.HEIGHT, writers.WIDTH, 3)
    assert corners(picture) == corners(upright()) == "rgb."
    assert picture.flags.c_contiguous


def test_an_avif_without_a_turn_is_taken_as_it_is() -> None:
    for data in (writers.avif_by_libav(), encoded(".avif", upright())):
        assert corners(decode_image(data, "photo").bgr()) == "rgb."


WHOLE = {
    "JPEG": writers.jpeg_by_opencv(6),
    "progressive JPEG": encoded(".jpg", upright(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "JPEG by Pillow": writers.jpeg_by_pillow(1),
    "PNG": writers.png_by_opencv(3),
    "PNG by Pillow": writers.png_by_pillow(1),
    "WebP": writers.webp_by_hand(8),
    "lossy WebP": encoded(".webp", upright(), cv2.IMWRITE_WEBP_QUALITY, 80),
    "BMP": encoded(".bmp", upright()),
    "AVIF": writers.avif_by_hand(6),
    "AVIF by Pillow": writers.avif_by_pillow(1),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_is_cut_short_is_called_that(kind: str) -> None:
    whole = WHOLE[kind]
    for length in (len(whole) // 3, len(whole) // 2, len(whole) * 9 // 10, len(whole) - 1):
        with pytest.raises(ImageCutShort, match=rf"^hall\.photo is cut short, .*{length} bytes; copy it again$"):
            decode_image(whole[:length], "hall.photo")


@pytest.mark.parametrize("kind", WHOLE)
def test_what_comes_behind_a_photo_does_not_matter(kind: str) -> None:
    """Phones put a film or a depth map there."""
    assert decode_image(WHOLE[kind] + b"and more" * 99, "photo").width == writers.WIDTH


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_photo() -> None:
    thumbnail = encoded(".jpg", cv2.resize(upright(), (60, 40)))
    plain = encoded(".jpg", upright())
    photo = plain[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + plain[2:]
    assert decode_image(photo, "photo").width == writers.WIDTH
    assert not cut_short(photo, "JPEG")
    for length in (len(thumbnail) + 3, len(photo) // 2, len(photo) - 5):
        assert cut_short(photo[:length], "JPEG")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "lossy WebP"])
def test_a_file_that_is_whole_but_no_picture_is_called_damaged(kind: str) -> None:
    data = bytearray(WHOLE[kind])
    if kind == "JPEG":
        start = data.index(b"\xff\xc0")
        data[start + 2 : start + 19] = b"\x00\x11" + bytes(15)
    elif kind == "PNG":
        start = data.index(b"IDAT")
        data[start + 4 : start + 24] = b"x" * 20
    else:
        start = data.index(b"VP8 ") + 8
        data[start : start + 10] = bytes(10)
    with pytest.raises(ImageUnreadable, match="that is damaged; copy it again, or give another photo") as caught:
        decode_image(bytes(data), "photo")
    assert caught.value.code == "image_unreadable"


def ftyp(*brands: bytes) -> bytes:
    body = brands[0] + bytes(4) + b"".join(brands)
    return (8 + len(body)).to_bytes(4, "big") + b"ftyp" + body + bytes(64)


@pytest.mark.parametrize("brands", [(b"heic", b"mif1"), (b"mif1", b"heic"), (b"heix", b"mif1", b"heix"), (b"msf1",)])
def test_heic_is_called_that_with_a_way_to_a_jpeg(brands: tuple[bytes, ...]) -> None:
    assert kind_of(ftyp(*brands)) == "HEIC"
    with pytest.raises(ImageKindUnsupported, match=r"is a HEIC photo.*save or share it as JPEG.*heif-convert"):
        decode_image(ftyp(*brands), "photo")


def test_kinds_go_by_the_bytes() -> None:
    assert {name: kind_of(data) for name, data in WHOLE.items()} == {
        name: next(kind for kind in ("JPEG", "PNG", "WebP", "BMP", "AVIF") if kind in name) for name in WHOLE
    }
    assert kind_of(ftyp(b"mif1", b"avif", b"mif1")) == "AVIF"
    assert kind_of(ftyp(b"isom", b"mp42")) is None
    assert kind_of(b"") is None


def test_an_avif_that_libav_can_t_read_is_refused() -> None:
    """Its turn would not be known."""
    data = bytearray(WHOLE["AVIF"])
    start = data.index(b"pitm")
    data[start : start + 4] = b"free"
    with pytest.raises(ImageUnreadable, match="AVIF"):
        decode_image(bytes(data), "photo")


@pytest.mark.parametrize(("width", "height"), [(8160, 6144), (6144, 8160), (9280, 6944)])
def test_photos_of_phones_with_50_and_64_megapixels_are_taken(tmp_path: Path, width: int, height: int) -> None:
    cv2.imwrite(str(tmp_path / "phone.jpg"), np.zeros((height, width), np.uint8))
    photo = read_image(tmp_path / "phone.jpg")
    assert (photo.width, photo.height) == (width, height)


@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG", "PNG", "BMP", "WebP", "lossy WebP"])
def test_the_size_is_known_before_a_pixel_is_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = WHOLE[kind]
    stored = {"JPEG": 6, "PNG": 3, "WebP": 8}.get(kind, 1)
    height, width = writers.stored(stored).shape[:2]
    assert declared_size(data, kind_of(data)) == (width, height)
    monkeypatch.setattr("recognition.image.MAX_PIXELS", writers.WIDTH * writers.HEIGHT - 1)
    monkeypatch.setattr("recognition.image.cv2.imdecode", None)
    with pytest.raises(ImageTooLarge, match=f"has {width}x{height} pixels"):
        decode_image(data, "photo")


def test_an_avif_that_is_too_large_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recognition.image.MAX_PIXELS", 1000)
    monkeypatch.setattr("recognition.image.cv2.imdecode", None)
    with pytest.raises(ImageTooLarge, match="has 160x240 pixels"):
        decode_image(writers.avif_by_pillow(6), "photo")


@pytest.mark.shared
def test_the_cases_of_old(shared: Path) -> None:
    sideways = read_image(shared / "cases" / "sideways_irot.avif")
    flat = cv2.imread(str(shared / "cases" / "sideways_irot.avif"), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    np.testing.assert_array_equal(sideways.bgr(), np.rot90(flat))
    with pytest.raises(ImageKindUnsupported, match="HEIC"):
        read_image(shared / "cases" / "phone.heic")
