"""What is known of one visit until it is written: its messages, its best faces, its pictures. Pure but for its state.

On the writer's thread. One chip and one scene a visit at most: clearly better ones take their place.
"""

from dataclasses import dataclass, field

from streamer.events.event import IdentityEvent
from streamer.kept_visits.pictures import Chip, Scene
from streamer.kept_visits.visit import VisitChange, VisitFace, best_faces, people_of

# A visit that lasts has its picture written anew so often at most, and once more at its end.
PICTURES_EVERY_S = 10.0


@dataclass(slots=True, eq=False)
class Sheet:
    """A track, from its first good face on; a visit once something was told of it that is to be kept."""

    event_id: str | None = None
    camera: str = ""
    is_written: bool = False
    is_gone: bool = False  # erased or purged by somebody else, and not to come back
    began_at: float = 0.0
    began_s: float | None = None
    newest: IdentityEvent | None = None
    people: frozenset[str] = frozenset()
    unwritten: list[IdentityEvent] = field(default_factory=list)
    faces: tuple[VisitFace, ...] = ()
    has_new_faces: bool = False
    chip: Chip | None = None
    scene: Scene | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)  # encoded, and not written yet
    pictured_s: float = -1e9
    has_scene: bool = False

    def add_face(self, face: VisitFace, chip: Chip | None, scene: Scene | None) -> None:
        """chip and scene: clearly better than those before, or none. A scene that was encoded stays."""
        if self.is_gone:
            return
        faces = best_faces((*self.faces, face))
        self.has_new_faces = self.has_new_faces or faces != self.faces
        self.faces = faces
        self.chip = chip or self.chip
        if not self.has_scene:
            self.scene = scene or self.scene

    def tell(self, messages: tuple[IdentityEvent, ...], began_s: float | None) -> None:
        """What was told of it since the last call, the oldest first; began_s: first sight, on the steady clock."""
        newest = messages[-1]
        self.event_id, self.camera, self.newest = newest.event_id, newest.camera, newest
        self.began_at, self.began_s = newest.first_seen_at, began_s
        self.people |= people_of(messages)
        if not self.is_gone:
            self.unwritten += messages

    @property
    def is_over(self) -> bool:
        return self.newest is not None and self.newest.type == "end"

    def change(self, now_s: float) -> VisitChange | None:
        """What is to be written now; None where there is nothing. done() says that it was."""
        event, has_pictures = self.newest, self._encode(now_s)
        if event is None or not (self.unwritten or has_pictures):
            return None
        return VisitChange(
            event_id=event.event_id,
            camera=self.camera,
            is_first=not self.is_written,
            is_known=event.person is not None,
            began_at=self.began_at,
            began_s=self.began_s,
            seen_at=event.captured_at,
            ended_at=event.captured_at if self.is_over else None,
            people=self.people,
            messages=tuple(self.unwritten),
            faces=self.faces if self.has_new_faces else None,
            pictures=self.pictures.copy(),
        )

    def done(self, *, is_gone: bool) -> None:
        self.is_written, self.is_gone = True, is_gone
        self.unwritten, self.has_new_faces, self.pictures = [], False, {}
        if is_gone:
            self.faces, self.chip, self.scene = (), None, None

    def _encode(self, now_s: float) -> bool:
        """Whether there are pictures to write: they are encoded when their time has come, and once."""
        if self.is_over or now_s - self.pictured_s >= PICTURES_EVERY_S:
            for kind, pixels in (("face", self.chip), ("scene", self.scene)):
                if pixels is not None:
                    self.pictures[kind] = pixels.jpeg
                    self.pictured_s = now_s
            self.has_scene = self.has_scene or self.scene is not None
            self.chip = self.scene = None
        return bool(self.pictures)
