"""People as the API shows and takes them: models with examples, and what they say as the gallery has it. Pure."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from gallery.people import Consent, OwnThreshold, Person
from streamer.access.guard import Caller, needs
from streamer.api.wording.http_means import LineOverHttp
from streamer.people.profile_change import KEPT, ConsentChange, Kept, ProfileChange

LARGEST_ID = 2**63 - 1  # SQLite has no larger number
_EVENT_ID = r"^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"

PersonId = Annotated[str, Path(max_length=200, description="a person's id, or name", examples=["p7f3k2m9q1xz4"])]
RowId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="a number in the list", examples=[17])]
Viewer = Annotated[Caller, Depends(needs("viewer"))]
Operator = Annotated[Caller, Depends(needs("operator"))]
Admin = Annotated[Caller, Depends(needs("admin"))]
EventId = Annotated[str, Field(pattern=_EVENT_ID)]

_Text = Annotated[str, Field(max_length=1000)]
_Time = Annotated[float, Field(ge=0, lt=253_402_300_800, allow_inf_nan=False)]
_Cosine = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
_Tags = Annotated[list[_Text], Field(max_length=100)]

_CONSENT: dict[str, Any] = {"by": "Ada Lovelace", "at": 1763674511.7, "purpose": "entry", "expires_at": None}
_THRESHOLD: dict[str, Any] = {"space": "nano_embed.2", "cosine": 0.5}
_PERSON: dict[str, Any] = {
    "id": "p7f3k2m9q1xz4",
    "name": "Ada Lovelace",
    "external_id": "4711",
    "tags": ["staff"],
    "threshold": None,
    "consent": _CONSENT,
    "ignored": False,
    "enrolled_at": 1763674511.7,
    "photos": 3,
    "templates": {"nano_embed.2": 3},
}


def example(document: dict[str, Any]) -> ConfigDict:
    """Of an answer."""
    return ConfigDict(json_schema_extra={"example": document})


def strict_example(document: dict[str, Any]) -> ConfigDict:
    """Of a body: what is not known is refused."""
    return ConfigDict(extra="forbid", json_schema_extra={"example": document})


def _no_default(schema: dict[str, Any]) -> None:
    """Left out means as it was: whatever a client fills in would be a change."""
    schema.pop("default", None)


def _left(fallback: object = None) -> Any:  # noqa: ANN401 pydantic's own functions for fields are so
    return Field(default=fallback, json_schema_extra=_no_default)


# What is shown.


class ConsentView(BaseModel):
    """`by` whom it was given, since when, what for; `expires_at` null: until it is taken back. Unix times in s."""

    by: str
    at: float
    purpose: str
    expires_at: float | None

    @classmethod
    def of(cls, consent: Consent | None) -> "ConsentView | None":
        if consent is None:
            return None
        return cls(by=consent.by, at=consent.at, purpose=consent.purpose, expires_at=consent.expires_at)


class ThresholdView(BaseModel):
    """From which cosine on this one person is named in this space."""

    space: str
    cosine: float


class PersonView(BaseModel):
    """Somebody who is enrolled; `templates`: how many by embedding space."""

    model_config = example(_PERSON)

    id: str
    name: str
    external_id: str | None
    tags: list[str]
    threshold: ThresholdView | None
    consent: ConsentView | None
    ignored: bool
    enrolled_at: float
    photos: int
    templates: dict[str, int]

    @classmethod
    def of(cls, person: Person) -> "PersonView":
        profile, own = person.profile, person.profile.threshold
        return cls(
            id=person.id,
            name=person.name,
            external_id=profile.external_id,
            tags=list(profile.tags),
            threshold=None if own is None else ThresholdView(space=own.space, cosine=own.cosine),
            consent=ConsentView.of(profile.consent),
            ignored=profile.ignored,
            enrolled_at=person.created_at,
            photos=person.photos,
            templates=dict(person.templates),
        )


class PeoplePage(BaseModel):
    """`next`: what `after` is of the next page; null where this is the last one. `left_out`: the ids of those who are
    not shown since something of them does not open any more (`gallery_seal_broken`).
    """

    people: list[PersonView]
    next: str | None
    left_out: list[str]


class NamedView(BaseModel):
    id: str
    name: str

    @classmethod
    def of(cls, person: Person) -> "NamedView":
        return cls(id=person.id, name=person.name)


class LeftView(BaseModel):
    """What is still somewhere, why, and who sees to it: the service, the next purge, or you."""

    where: str
    why: LineOverHttp
    done_by: Literal["service", "purge", "you"]


class StepView(BaseModel):
    step: str
    done: str
    after_s: float


class ErasureView(BaseModel):
    """`complete`: nothing is left anywhere. `counts`: how many photos, templates, negatives and kept visits were
    erased; what could not be looked at is left out.
    """

    model_config = example(
        {
            "forgotten": "p7f3k2m9q1xz4",
            "complete": True,
            "steps": [
                {"step": "keys", "done": "1 person: keys destroyed, 3 photos and 3 templates deleted", "after_s": 0.1}
            ],
            "counts": {"photos": 3, "templates": 3, "negatives": 0, "visits": 12},
            "left": [],
        }
    )

    forgotten: str
    complete: bool
    steps: list[StepView]
    counts: dict[str, int]
    left: list[LeftView]


class TakenView(BaseModel):
    image: str
    quality: float


class LeftOutView(BaseModel):
    image: str
    why: LineOverHttp


class RefusedView(BaseModel):
    image: str
    code: str
    why: LineOverHttp


class EnrolmentView(BaseModel):
    """What became of each image, by its filename; `left_out`: good ones that add nothing. `negatives_removed`: so many
    of these visits had been said not to be the person's; that is taken back.
    """

    model_config = example(
        {
            "person": {"id": "p7f3k2m9q1xz4", "name": "Ada Lovelace"},
            "added_to": False,
            "taken": [{"image": "ada1.jpg", "quality": 0.83}],
            "already": [],
            "left_out": [],
            "refused": [{"image": "ada2.jpg", "code": "no_face", "why": "no face was found"}],
            "warnings": [],
            "negatives_removed": 0,
        }
    )

    person: NamedView
    added_to: bool
    taken: list[TakenView]
    already: list[str]
    left_out: list[LeftOutView]
    refused: list[RefusedView]
    warnings: list[LineOverHttp]
    negatives_removed: int


class NewPersonView(PersonView):
    """Somebody who is enrolled now; `enrolment`: what became of the images, null where there were none."""

    model_config = example(_PERSON | {"enrolment": None})

    enrolment: EnrolmentView | None


# What is taken.


class ConsentBody(BaseModel):
    """What is left out stays as it was; `by` and `purpose` are needed where there was no consent. Unix time in s."""

    model_config = strict_example({"by": "Ada Lovelace", "purpose": "entry", "expires_at": None})

    by: _Text = _left("")
    purpose: _Text = _left("")
    expires_at: _Time | None = _left()

    def change(self) -> ConsentChange:
        told = self.model_fields_set
        return ConsentChange(
            self.by if "by" in told else None,
            self.purpose if "purpose" in told else None,
            self.expires_at if "expires_at" in told else KEPT,
        )


class ThresholdBody(BaseModel):
    """`space` null: that of the configured embedder."""

    model_config = strict_example(_THRESHOLD)

    cosine: _Cosine
    space: _Text | None = None


class Said(BaseModel):
    """What is said of a person, the name aside."""

    external_id: _Text | None = _left()
    tags: _Tags = _left([])
    threshold: ThresholdBody | None = _left()
    consent: ConsentBody | None = _left()
    ignored: bool = _left(False)

    def change(self, threshold: OwnThreshold | None, name: str | Kept = KEPT) -> ProfileChange:
        """threshold: the one that is said, where one is."""
        told = self.model_fields_set
        consent = None if self.consent is None else self.consent.change()
        return ProfileChange(
            name=name,
            external_id=self.external_id if "external_id" in told else KEPT,
            tags=tuple(self.tags) if "tags" in told else KEPT,
            threshold=threshold if "threshold" in told else KEPT,
            consent=consent if "consent" in told else KEPT,
            ignored=self.ignored if "ignored" in told else KEPT,
        )


class PersonChange(Said):
    """What is left out stays as it was; null: there is none from now on. `tags`: instead of all that are there."""

    model_config = strict_example({"name": "Ada Lovelace", "tags": ["staff", "night shift"], "ignored": False})

    name: _Text = _left("")


class NewPerson(Said):
    """Somebody new. `from_visit`: the event_id of a kept visit that shows the person."""

    model_config = strict_example({"name": "Ada Lovelace", "external_id": "4711", "tags": ["staff"]})

    name: _Text
    from_visit: EventId | None = None
    force: bool = False


class Forced(BaseModel):
    """`force`: also somebody who looks like a person of another name."""

    model_config = ConfigDict(extra="forbid")

    force: bool = False


class Picked(BaseModel):
    """`pick`: which face to take where a photo shows several, whoever is beside it."""

    model_config = ConfigDict(extra="forbid")

    pick: Literal["largest"] | None = None


class Choice(Picked):
    """`force`: enrol somebody who looks like a person of another name."""

    force: bool = False


class FromVisit(BaseModel):
    """The event_id of a kept visit that shows the person. `force`: as of photos."""

    model_config = strict_example({"event_id": "01KBAGZ0M2T4V6X8Y0A2C4E6G8"})

    event_id: EventId
    force: bool = False


class NewPersonForm(Choice):
    """Somebody new, and photos that show the person."""

    name: _Text
    external_id: _Text | None = None
    tags: _Tags = []
    ignored: bool = False
    consent_by: _Text | None = None
    consent_purpose: _Text | None = None
    consent_expires_at: _Time | None = None

    def change(self) -> ProfileChange:
        consent = (self.consent_by, self.consent_purpose, self.consent_expires_at)
        return ProfileChange(
            external_id=self.external_id,
            tags=tuple(self.tags),
            consent=None if consent == (None, None, None) else ConsentChange(*consent),
            ignored=self.ignored,
        )
