"""Images of a request, as files of a form or as base64 in JSON: their bytes out, or what is wrong with each.

A form is read on the loop; base64 blocks, and is for a thread.
"""

import binascii
from collections.abc import Sequence
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from recognition.errors import ImageError, ImageTooLarge, ImageUnreadable
from streamer.api.errors import TooManyImages
from streamer.api.uploads import fields_of, form_of, invalid
from streamer.settings import EmbeddingsSettings

_OF_AN_IMAGE, _OF_ALL = 4, 100  # commas: between images and options, and in data: URLs

Given = bytes | ImageError
Model = TypeVar("Model", bound=BaseModel)


async def of_form(request: Request, limits: EmbeddingsSettings, model: type[Model]) -> tuple[list[Given], Model]:
    """The files called `images`, in their order, and the other fields.

    Raises TooManyImages, RequestValidationError and, where it is no form, HTTPException (400).
    """
    try:
        async with form_of(request, limits.max_images) as form:
            fields = fields_of(form, model, ["images"])
            files = form.getlist("images")
            if len(files) < len(form.multi_items()) - len(fields.model_fields_set):
                raise invalid("images", "every file is to be called so")
            images = [await _of_file(file, f"images[{place}]", limits) for place, file in enumerate(files)]
    except HTTPException as refusal:
        if refusal.detail.startswith("Too many files"):
            raise _too_many(limits) from None
        raise
    return _held(images), fields


def hold_to_count(document: bytes, limits: EmbeddingsSettings) -> None:
    """JSON of more values than so many images have is not even parsed, which takes room by the value, a hundred times
    a body of nothing but numbers. Raises TooManyImages.
    """
    if document.count(b",") > _OF_AN_IMAGE * limits.max_images + _OF_ALL:
        raise _too_many(limits)


def of_base64(texts: Sequence[str], limits: EmbeddingsSettings) -> list[Given]:
    """Raises TooManyImages, RequestValidationError."""
    if len(texts) > limits.max_images:
        raise _too_many(limits)
    return _held([_of_text(text, f"images[{place}]", limits) for place, text in enumerate(texts)])


async def _of_file(file: UploadFile | str, name: str, limits: EmbeddingsSettings) -> Given:
    if isinstance(file, str):
        raise invalid("images", "it is to be a file: a part with a filename")
    return _too_large(name, file.size or 0, limits) or await file.read()


def _of_text(text: str, name: str, limits: EmbeddingsSettings) -> Given:
    """In base64, as it is or as a `data:` URL."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    too_large = _too_large(name, len(text) * 3 // 4, limits)
    if too_large is not None:
        return too_large
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except ValueError:  # other letters than ASCII's among them
        return ImageUnreadable(f"{name} is no base64; encode the image's file, without line breaks")


def _too_large(name: str, size: int, limits: EmbeddingsSettings) -> ImageTooLarge | None:
    if size <= limits.max_image_mib << 20:
        return None
    return ImageTooLarge(
        f"{name} has {size / 2**20:.1f} MiB, more than {limits.max_image_mib} (http.embeddings.max_image_mib); make it "
        "smaller"
    )


def _held(images: list[Given]) -> list[Given]:
    if not images:
        raise invalid("images", "give one at least")
    return images


def _too_many(limits: EmbeddingsSettings) -> TooManyImages:
    return TooManyImages(
        f"more than {limits.max_images} images in one request (http.embeddings.max_images); send them in several"
    )
