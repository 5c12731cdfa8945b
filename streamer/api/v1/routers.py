"""Everything under /api/v1 over a running service: what there is of it, each a router of its own."""

from fastapi import APIRouter

from streamer.api.gallery_desk import GalleryDesk
from streamer.api.v1 import identify, joining, negatives, people, person_zips, photos
from streamer.people.studio import Studio


def api_routes(desk: GalleryDesk, studio: Studio) -> list[APIRouter]:
    """In the order in which /docs shows them."""
    of_people = [kind.routes(desk, studio) for kind in (people, photos, negatives, joining, person_zips)]
    return [*of_people, identify.routes(studio)]
