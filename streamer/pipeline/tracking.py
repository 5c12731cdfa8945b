"""Boxes over time -> tracks; which face of a track is worth embedding.

Detections of a camera's frames go in, in order; live tracks and the faces to embed come out. Pure apart from its
own state: no I/O, no clock of its own (times come with the frames). Runs on the loop, well under a millisecond.
The embedder may change between two frames: embeddings are only ever compared with those of the same model.

Association in two stages as in ByteTrack (Zhang et al. 2022): confident detections first, then what is left of
the tracks against the unsure ones, so that a face that turns or blurs is followed through. Faces are small beside
the bodies that carry them, so boxes are enlarged before their overlap is taken (as in C-BIoU, Yang et al. 2023).
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import lap
import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32
from recognition.faces import enlarged, iou
from recognition.recogniser import Found

ENLARGED = 2.0  # factor on width and height before overlaps are taken
LEAST_OVERLAP_SURE = 0.15  # of enlarged boxes, first stage
LEAST_OVERLAP_UNSURE = 0.35  # second stage: an unsure detection must lie where it is expected
LOOKS_ALIKE = 0.5  # thumbnails of one face in frames that follow one another correlate far better
SAME_PERSON = 0.3  # cosine to the track's kept faces; under it, the track has slid onto somebody else
RETURNED = 0.45  # cosine at which a new track is taken for the one that was just lost
KEPT_FACES = 5  # of each model
MOST_AT_ONCE = 4  # faces of one frame that are embedded
# The following were chosen by watching clips, not measured one by one.
OUT_OF_SIGHT_S = 0.5  # unseen for so long, somebody may be anywhere: no second stage, no guess where, looks are doubted
AGAIN_S = 0.2  # between two embeddings of somebody who is not settled: a frame later a face says the same again
SETTLED_AGAIN_S = 0.5  # the same of somebody who is
CLEARLY_BETTER = 1.25  # a grade this much above the kept faces' best: it wobbles from frame to frame by itself
MANY_SIGHTINGS = 5  # of a track whose faces are all poor, before one of them is embedded at all
CROSSING = 0.2  # IoU of two faces' own boxes; heads side by side don't overlap so far
ALIKE_WEIGHT = 0.2  # looks decide between overlaps that are nearly the same, and no more
NO_PAIR, COST_LIMIT = 10.0, 5.0  # under the least overlap a pair costs more than the limit, so it is never made
NEW_SPEED = 0.5  # weight of the newest speed in a track's: single boxes jitter


@dataclass(frozen=True, slots=True, eq=False)
class KeptFace:
    """One of a track's best faces: its unit embedding (d,), its quality in [0,1], the embedder's name."""

    embedding: F32
    quality: float
    model: str


@dataclass(slots=True, eq=False)
class Track:
    """One person's face over time on one camera. box xyxy px; times on the frames' clock, s.

    unproven: it was doubted when there was nothing to hold its next face against, because the embedder had changed.
    named: it is settled by a person of the gallery.
    upright: a second look saw its face stand upright, and nothing has happened since that makes it another one.
    unmoved_s: until then nothing moved around it since it was last seen, so it is there although nobody looked.
    """

    id: str
    box: F32
    score: float
    last_seen_at: float
    first_seen_s: float
    last_seen_s: float
    thumb: F32
    velocity: F32 = field(default_factory=lambda: np.zeros(4, np.float32))
    sightings: int = 1
    largest_px: float = 0.0  # its face's size, as embedding asks for it
    kept: list[KeptFace] = field(default_factory=list)
    embedded_s: float = -1e9
    upright: bool = False
    refused_s: float = -1e9
    pending: int = 0
    suspect: bool = False
    suspect_s: float = 0.0
    unproven: bool = False
    settled: bool = False
    named: bool = False
    generation: int = 0
    unmoved_s: float = -1e9
    merged_into: "Track | None" = None
    lost_its_box: bool = False

    def current(self) -> "Track":
        """This track, or the one that it turned out to continue."""
        return self if self.merged_into is None else self.merged_into.current()

    @property
    def in_sight_s(self) -> float:
        """Until when it is known where it is."""
        return max(self.last_seen_s, self.unmoved_s)

    def doubt(self, at_s: float) -> None:
        """From this frame on it may be somebody else's face: only a later one's embedding can clear it."""
        self.suspect, self.suspect_s, self.upright = True, at_s, False

    def similarity_to(self, face: KeptFace) -> float | None:
        """Highest cosine to a kept face of the same model; None while there is none."""
        alike = (float(kept.embedding @ face.embedding) for kept in self.kept if kept.model == face.model)
        return max(alike, default=None)

    def keep(self, face: KeptFace) -> None:
        """Keep the best few faces of each model, best first."""
        self.kept.append(face)
        self.kept.sort(key=lambda kept: -kept.quality)
        own = [kept for kept in self.kept if kept.model == face.model]
        if len(own) > KEPT_FACES:
            self.kept.remove(own[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A track as one frame shows it. index: its row in the frame's detections."""

    track: Track
    index: int
    box: F32
    quality: float
    at_s: float


@dataclass(frozen=True, slots=True)
class TrackingRules:
    """Limits of a camera's tracker. sure_score: a face below it never begins a track nor is embedded."""

    sure_score: float = 0.5
    min_face_px: float = 28.0
    min_quality: float = 0.15
    gone_after_s: float = 2.0
    settle_s: float = 2.0


class Tracker:
    """The live tracks of one camera. Not thread-safe: frames are committed in order, on the loop."""

    def __init__(self, camera: str, rules: TrackingRules) -> None:
        self.camera = camera
        self.rules = rules
        self._numbers = itertools.count(1)
        self.frame_size: tuple[int, int] | None = None
        self.tracks: list[Track] = []
        self.shown: list[Sighting] = []  # by the last frame
        self.spared = 0

    def update(
        self, found: Found, frame_size: tuple[int, int], at: float, at_s: float
    ) -> tuple[list[Sighting], list[Track]]:
        """One frame's detections -> the tracks it shows, and those that are gone (unseen for gone_after_s)."""
        gone = self._expire(at_s) + self._resized(frame_size)
        boxes, scores = found.detections.boxes, found.detections.scores
        sure = np.flatnonzero(scores >= self.rules.sure_score)
        unsure = np.flatnonzero(scores < self.rules.sure_score)
        seen = [track for track in self.tracks if not track.lost_its_box]
        pairs, left = self._associate(seen, boxes, sure, LEAST_OVERLAP_SURE, found, at_s)
        fresh = [track for track in left if at_s - track.in_sight_s < OUT_OF_SIGHT_S]
        unsure_pairs, _ = self._associate(fresh, boxes, unsure, LEAST_OVERLAP_UNSURE, found, at_s)
        for track, index in pairs + unsure_pairs:
            self._move(track, found, index, at, at_s)
        taken = {index for _, index in pairs}
        pairs += [(self._begin(found, int(i), at, at_s), int(i)) for i in sure if int(i) not in taken]
        self._suspect_crossings([track for track, _ in pairs], at_s)
        quality, size_px = found.quality.score, found.quality.size_px
        for track, index in pairs + unsure_pairs:
            track.largest_px = max(track.largest_px, float(size_px[index]))
        self.shown = [Sighting(t, i, boxes[i], float(quality[i]), at_s) for t, i in pairs + unsure_pairs]
        return self.shown, gone

    def to_embed(
        self, sightings: Sequence[Sighting], found: Found, at_s: float, model: str, *, spares: bool = False
    ) -> list[Sighting]:
        """The sightings whose embedding by this model can still change or improve their track's vote; marks them
        pending.

        At most MOST_AT_ONCE, those of whom least is known first: the others' turn comes a frame later, and when many
        people come into view together nobody waits for all of them.

        spares: whoever is known for sure is left out; `spared` says how many would have been embedded.
        """
        worth = [sighting for sighting in sightings if self._is_worth(sighting, found, at_s, model)]
        worth.sort(key=lambda sighting: (sighting.track.settled, len(sighting.track.kept), -sighting.quality))
        del worth[MOST_AT_ONCE:]
        self.spared = 0
        if spares:
            worth = self._unsure(worth, at_s, model)
        for sighting in worth:
            sighting.track.pending += 1
            sighting.track.embedded_s = at_s
        return worth

    def embedded(self, sighting: Sighting, embedding: F32, model: str) -> Track:
        """Give an embedding of this model to its track, or to another one where the face is clearly somebody else's.

        Returns the track that now holds it: the sighting's own, a fresh one (the track had slid onto another
        person), or one that was just lost and has come back.
        """
        sighting.track.pending -= 1
        track = sighting.track.current()
        if track not in self.tracks:
            return track  # it ended while this face was embedded
        face = KeptFace(embedding, sighting.quality, model)
        if not track.kept:
            return self._returned(track, face)
        likeness = track.similarity_to(face)
        later = sighting.at_s >= track.suspect_s  # than the doubt, if there is one
        if likeness is None:
            # Nothing contradicts, nothing confirms: faces of this model follow until they are the ones that decide.
            track.unproven = track.unproven or (track.suspect and later)
        elif track.suspect and likeness < SAME_PERSON:
            return self._split(track, face)
        track.suspect = track.suspect and not later
        track.keep(face)
        track.unproven = track.unproven and not self._leads(model, track)
        return track

    def abandoned(self, sightings: Sequence[Sighting]) -> None:
        """The embeddings of these will not come (a full queue, a model that can't run now)."""
        for sighting in sightings:
            sighting.track.pending -= 1
            sighting.track.embedded_s = -1e9

    def looked(self, sightings: Sequence[Sighting], upright: Sequence[bool]) -> None:
        """What a second look saw. A face that is not upright gets no embedding, and no other look at once."""
        for sighting, stands in zip(sightings, upright, strict=True):
            track = sighting.track.current()
            track.upright = stands and sighting.at_s >= track.suspect_s
            if not stands:
                sighting.track.pending -= 1
                track.refused_s = sighting.at_s

    def due(self, at_s: float, generation: int) -> list[Track]:
        """Tracks to judge again without a new face.

        Those in view that have been undecided for settle_s, and all where the gallery has changed since.
        """
        tracks = []
        for track in self.tracks:
            in_view = track.last_seen_s >= at_s
            overdue = in_view and not track.settled and at_s - track.first_seen_s >= self.rules.settle_s
            if track.kept and (overdue or track.generation != generation):
                tracks.append(track)
            track.generation = generation
        return tracks

    def clear(self) -> list[Track]:
        """Forget every track, because the camera was lost or stopped; returns them."""
        tracks, self.tracks, self.shown = self.tracks, [], []
        return tracks

    def _is_worth(self, sighting: Sighting, found: Found, at_s: float, model: str) -> bool:
        track, rules = sighting.track, self.rules
        sure = float(found.detections.scores[sighting.index]) >= rules.sure_score
        big = float(found.quality.size_px[sighting.index]) >= rules.min_face_px
        if not sure or not big or track.sightings < 2 or at_s - track.refused_s < AGAIN_S:
            return False
        own = sum(face.model == model for face in track.kept)
        have = own + track.pending
        # After a switch a settled track needs one face of the new model, to hold later ones against.
        least = 1 if track.settled and own < len(track.kept) else 2
        since_s = at_s - track.embedded_s
        if sighting.quality < rules.min_quality:
            # Poor faces give nobody a name, but tell whether it is still the same person.
            wanted = track.suspect or (have < least and track.sightings >= MANY_SIGHTINGS)
            return wanted and track.pending == 0 and since_s >= AGAIN_S
        if track.suspect:
            return track.pending == 0 or sighting.at_s == track.suspect_s
        if have < least:
            return True
        if track.unproven:
            return track.pending == 0 and since_s >= AGAIN_S
        better = sighting.quality > CLEARLY_BETTER * max((face.quality for face in track.kept), default=0.0)
        if not track.settled:
            return track.pending == 0 and since_s >= AGAIN_S and (have < KEPT_FACES or better)
        return better and track.pending == 0 and since_s >= SETTLED_AGAIN_S

    def _unsure(self, worth: list[Sighting], at_s: float, model: str) -> list[Sighting]:
        """Those whose person is not known for sure; the others have had their turn."""
        unsure: list[Sighting] = []
        for sighting in worth:
            track = sighting.track
            knows = any(face.model == model for face in track.kept)  # a face to hold later ones against
            if track.settled and knows and not track.suspect and not track.unproven:
                track.embedded_s = at_s
                self.spared += 1
            else:
                unsure.append(sighting)
        return unsure

    def _leads(self, model: str, track: Track) -> bool:
        """Whether a track's good faces of this model are at least as many as those of any other."""
        good = Counter(face.model for face in track.kept if face.quality >= self.rules.min_quality)
        return good[model] > 0 and good[model] == max(good.values())

    def _associate(
        self, tracks: list[Track], boxes: F32, rows: NDArray[np.intp], least: float, found: Found, at_s: float
    ) -> tuple[list[tuple[Track, int]], list[Track]]:
        """Best one-to-one pairs of tracks and detections by overlap, a little helped by how alike they look."""
        if not tracks or not len(rows):
            return [], list(tracks)
        overlaps = iou(enlarged(_expected(tracks, at_s), ENLARGED), enlarged(boxes[rows], ENLARGED))
        thumbs = np.array([track.thumb for track in tracks]).reshape(len(tracks), -1)
        alike = thumbs @ found.thumbs[rows].reshape(len(rows), -1).T
        cost = np.where(overlaps < least, NO_PAIR, 1.0 - overlaps - ALIKE_WEIGHT * np.maximum(alike, 0.0))
        _, columns, _ = lap.lapjv(cost.astype(np.float64), extend_cost=True, cost_limit=COST_LIMIT)
        pairs = [(track, int(rows[c])) for track, c in zip(tracks, columns, strict=True) if c >= 0]
        matched = {track.id for track, _ in pairs}
        return pairs, [track for track in tracks if track.id not in matched]

    def _begin(self, found: Found, index: int, at: float, at_s: float) -> Track:
        track = Track(
            id=f"{self.camera}-{next(self._numbers)}",
            box=found.detections.boxes[index],
            score=float(found.detections.scores[index]),
            last_seen_at=at,
            first_seen_s=at_s,
            last_seen_s=at_s,
            thumb=found.thumbs[index],
        )
        self.tracks.append(track)
        return track

    def _move(self, track: Track, found: Found, index: int, at: float, at_s: float) -> None:
        box = found.detections.boxes[index]
        since_s = max(at_s - track.last_seen_s, 1e-3)
        speed = (box - track.box) / np.float32(since_s)
        track.velocity = track.velocity * np.float32(1 - NEW_SPEED) + speed * np.float32(NEW_SPEED)
        alike = float(track.thumb.ravel() @ found.thumbs[index].ravel())
        if alike < LOOKS_ALIKE or at_s - track.in_sight_s > OUT_OF_SIGHT_S:
            track.doubt(at_s)
        track.box, track.score, track.thumb = box, float(found.detections.scores[index]), found.thumbs[index]
        track.last_seen_at, track.last_seen_s = at, at_s
        track.sightings += 1

    def _suspect_crossings(self, tracks: list[Track], at_s: float) -> None:
        """Two faces that overlap may have swapped their tracks."""
        if len(tracks) > 1:
            boxes = np.array([track.box for track in tracks])
            for row in np.flatnonzero((iou(boxes, boxes) > CROSSING).sum(axis=1) > 1):
                if not tracks[int(row)].suspect:
                    tracks[int(row)].doubt(at_s)

    def _split(self, track: Track, face: KeptFace) -> Track:
        """The box has slid from one person to another: the old track stays where it was and soon ends."""
        other = Track(
            id=f"{self.camera}-{next(self._numbers)}",
            box=track.box,
            score=track.score,
            last_seen_at=track.last_seen_at,
            first_seen_s=track.last_seen_s,
            last_seen_s=track.last_seen_s,
            thumb=track.thumb,
            velocity=track.velocity,
            sightings=2,
        )
        track.lost_its_box = True  # matches nothing; _returned() may bring it back
        self.tracks.append(other)
        return self._returned(other, face)

    def _returned(self, track: Track, face: KeptFace) -> Track:
        """A track's first face: where it is that of a track that was lost a moment ago, that one goes on.

        Only faces of the same model tell; across a switch the lost one ends and another begins.
        """
        for lost in self.tracks:
            likeness = lost.similarity_to(face)
            earlier = lost is not track and lost.last_seen_s < track.last_seen_s
            if earlier and likeness is not None and likeness > RETURNED:
                lost.box, lost.thumb, lost.velocity = track.box, track.thumb, track.velocity
                lost.last_seen_at, lost.last_seen_s = track.last_seen_at, track.last_seen_s
                lost.sightings += track.sightings
                lost.suspect = lost.lost_its_box = False
                lost.keep(face)
                track.merged_into = lost
                self.tracks = [other for other in self.tracks if other is not track]
                return lost
        track.suspect = False
        track.keep(face)
        return track

    def _expire(self, at_s: float) -> list[Track]:
        gone = [track for track in self.tracks if at_s - track.last_seen_s > self.rules.gone_after_s]
        self.tracks = [track for track in self.tracks if at_s - track.last_seen_s <= self.rules.gone_after_s]
        return gone

    def _resized(self, frame_size: tuple[int, int]) -> list[Track]:
        """A stream that changes its frame size may as well be another scene: every track ends."""
        changed = self.frame_size is not None and self.frame_size != frame_size
        self.frame_size = frame_size
        return self.clear() if changed else []


def _expected(tracks: list[Track], at_s: float) -> F32:
    """Where the tracks' boxes (n,4) should be by now, at constant speed (for half a second at most: people turn)."""
    ahead_s = np.array([min(at_s - track.last_seen_s, OUT_OF_SIGHT_S) for track in tracks], np.float32)
    boxes, speeds = np.array([track.box for track in tracks]), np.array([track.velocity for track in tracks])
    return np.asarray(boxes + speeds * ahead_s[:, None], dtype=np.float32)
