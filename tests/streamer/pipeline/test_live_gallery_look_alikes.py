"""After one "this is not her": real people who are taken for each other, found by score among LFW's.

A test of the whole way, from the store to the verdict: the rule itself has its own tests.
"""

import asyncio
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gallery.people import NewNegative, NewTemplate
from recognition.evaluation.evaluate import evaluate, is_enrolled
from recognition.evaluation.pairs import PeoplesPhotos, by_person
from recognition.photos import PhotoSet
from recognition.recogniser import RecogniserConfig, open_recogniser
from recognition.specs.packs import Pack
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.tracking import KeptFace
from streamer.pipeline.visits import Verdict
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from tests.command import Ended, whosthere
from tests.galleries import open_store
from tests.gallery.fakes import SIGNATURE, photo_of

pytestmark = pytest.mark.shared

PHOTOS = 4  # of a person, at most
PAIRS = 12
DETECTOR, EMBEDDER = "nano_det", "nano_embed"


@dataclass(frozen=True)
class Album:
    """Who is who: embeddings (n,d) of the photos, people (n,) by number; names of the people."""

    photos: PeoplesPhotos
    embeddings: np.ndarray
    people: np.ndarray

    @property
    def enrolled(self) -> list[int]:
        return [number for number, name in enumerate(self.photos.people) if is_enrolled(name)]

    def rows(self, person: int) -> list[int]:
        return np.flatnonzero(self.people == person).tolist()


@pytest.fixture(scope="module")
def album(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Album:
    """Up to four photos of everybody in lfw_dev who has two."""
    few_file = tmp_path_factory.mktemp("album") / "few.zip"
    with zipfile.ZipFile(shared / "faces" / "lfw_dev.zip") as archive, zipfile.ZipFile(few_file, "w") as few:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        for _, photos in groupby(names, lambda name: name.split("/")[-2]):
            of_person = list(photos)
            for name in of_person[:PHOTOS] if len(of_person) > 1 else ():
                few.writestr(name, archive.read(name))
    photos = by_person(PhotoSet(few_file))
    config = RecogniserConfig(DETECTOR, EMBEDDER, ())
    pack = Pack(name="nano", detector=DETECTOR, embedder=EMBEDDER)
    found = asyncio.run(evaluate(pack, config, photos, None, lambda _done, _total: None))
    assert found.templates.found.all()
    return Album(photos, found.templates.embeddings, found.templates.people)


@dataclass(frozen=True)
class Service:
    """A gallery of half of the people, with all of their photos but the last."""

    album: Album
    live: LiveGallery
    path: Path
    space: str
    ids: dict[int, str]

    async def look(self, rows: Sequence[int]) -> list[Verdict]:
        """Three faces of a track, all of one photo."""
        embeddings = self.album.embeddings
        return await self.live.identify([[KeptFace(embeddings[row], 0.8, EMBEDDER)] * 3 for row in rows])

    async def names(self, rows: Sequence[int]) -> list[str | None]:
        return [verdict.match.person_id for verdict in await self.look(rows)]

    async def own(self, person: int) -> list[bool]:
        """Whether each of a person's photos, enrolled or not, is named as that person's."""
        return [who == self.ids[person] for who in await self.names(self.album.rows(person))]

    async def say_not(self, person: int, row: int) -> int:
        template = NewTemplate(self.space, SIGNATURE, self.album.embeddings[row])
        negative = NewNegative(None, np.full((5, 2), 128, np.float32), 0.8, f"photo {row:064x}", (template,))
        with open_store(self.path) as store:
            kept = store.add_negative(self.ids[person], negative)
        await self.live.refresh()
        return kept.id


@asynccontextmanager
async def service_of(album: Album, folder: Path, threshold: float) -> AsyncIterator[Service]:
    settings = load(overrides=[f"paths.data={folder}", f"gallery.threshold={threshold}"])
    async with open_recogniser(RecogniserConfig(DETECTOR, EMBEDDER, ())) as recogniser:
        with open_store(settings.gallery_path) as store:
            ids = {
                person: store.add_person(
                    album.photos.people[person],
                    [photo_of(album.embeddings[row], row, recogniser.space) for row in album.rows(person)[:-1]],
                ).id
                for person in album.enrolled
            }
        async with LiveGallery.open(settings, recogniser, Metrics()) as live:
            yield Service(album, live, settings.gallery_path, recogniser.space, ids)


@dataclass(frozen=True)
class LookAlike:
    """A stranger's photo that is named as somebody's."""

    row: int
    person: int
    similarity: float


async def look_alikes(service: Service) -> list[LookAlike]:
    """Each stranger's and each person's most alike, the most alike first."""
    album = service.album
    strangers = np.flatnonzero(~np.isin(album.people, album.enrolled)).tolist()
    by_id = {person_id: person for person, person_id in service.ids.items()}
    verdicts = await service.look(strangers)
    found: dict[int, LookAlike] = {}
    ranked = sorted(zip(strangers, verdicts, strict=True), key=lambda pair: -pair[1].match.similarity)
    seen: set[int] = set()
    for row, verdict in ranked:
        who = verdict.match.person_id
        if who is not None and album.people[row] not in found and who not in seen:
            seen.add(who)
            found[int(album.people[row])] = LookAlike(row, by_id[who], verdict.match.similarity)
    return list(found.values())[:PAIRS]


async def test_the_same_face_is_not_given_that_name_again_and_her_own_still_are(album: Album, tmp_path: Path) -> None:
    async with service_of(album, tmp_path / "data", 0.45) as service:
        alike = await look_alikes(service)
        assert len(alike) == PAIRS
        before = {one.person: await service.own(one.person) for one in alike}
        for one in alike:
            (named,) = await service.names([one.row])
            assert named == service.ids[one.person]
            negative = await service.say_not(one.person, one.row)
            (named,) = await service.names([one.row])
            assert named != service.ids[one.person]
            assert await service.own(one.person) == before[one.person]
            with open_store(service.path) as store:
                store.remove_negative(service.ids[one.person], negative)
            await service.live.refresh()
            (named,) = await service.names([one.row])
            assert named == service.ids[one.person]
        assert sum(map(sum, before.values())) > 2 * PAIRS  # her own were named at all


async def test_the_same_by_commands(album: Album, tmp_path: Path) -> None:
    """enrol, identify, people not, identify, --undo: as a user would, with the files themselves."""
    async with service_of(album, tmp_path / "data", 0.45) as service:
        alike = (await look_alikes(service))[:2]
    photos = album.photos
    for name in (photos.people[album.people[row]] for one in alike for row in (one.row, album.rows(one.person)[0])):
        (tmp_path / name).mkdir(exist_ok=True)
    rows = {row for one in alike for row in (one.row, *album.rows(one.person))}
    for row in rows:
        (tmp_path / photos.names[row]).write_bytes(photos.photos.bytes_of(photos.files[row]))
    (tmp_path / "whosthere.yaml").write_text("gallery: {threshold: 0.45}\n")

    def said(*arguments: object) -> Ended:
        ended = whosthere(*arguments, cwd=tmp_path)
        assert ended.code == 0, ended.err
        return ended

    def names() -> dict[str, str | None]:
        """By photo, of the face in its middle."""
        shown = said("identify", *sorted(photos.names[row] for row in rows), "--json").document["images"]
        return {one["file"]: _central_name(one["faces"]) for one in shown}

    for one in alike:
        enrolled = [photos.names[row] for row in album.rows(one.person)[:-1]]
        said("enrol", photos.people[one.person], *enrolled, "--pick", "largest")
    before = names()
    for one in alike:
        assert before[photos.names[one.row]] == photos.people[one.person]
        said("people", "not", photos.people[one.person], photos.names[one.row], "--pick", "largest")
    after = names()
    strangers = {photos.names[one.row] for one in alike}
    assert {file: after[file] for file in strangers} == dict.fromkeys(strangers)
    hers = before.keys() - strangers
    assert {file: after[file] for file in hers} == {file: before[file] for file in hers}
    assert sum(before[file] is not None for file in hers) > len(alike)
    said("people", "not", photos.people[alike[0].person], photos.names[alike[0].row], "--undo")
    assert names()[photos.names[alike[0].row]] == photos.people[alike[0].person]


def _central_name(faces: Sequence[dict[str, Any]]) -> str | None:
    """LFW's photos are 250 px wide and high, and their person's face is in the middle."""
    nearest = min(faces, key=lambda face: abs(face["box"][0] + face["box"][2] - 250))
    return None if nearest["person"] is None else str(nearest["person"]["name"])
