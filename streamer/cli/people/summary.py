"""A person as commands show one: a JSON document, or lines for people."""

import time
from dataclasses import asdict
from typing import Any

from gallery.people import KeptNegative, Person


def summary(person: Person) -> dict[str, Any]:
    profile = person.profile
    return {
        "id": person.id,
        "name": person.name,
        "external_id": profile.external_id,
        "tags": list(profile.tags),
        "threshold": None if profile.threshold is None else asdict(profile.threshold),
        "consent": None if profile.consent is None else asdict(profile.consent),
        "ignored": profile.ignored,
        "enrolled_at": person.created_at,
        "created": local(person.created_at),
        "photos": person.photos,
        "templates": dict(person.templates),
    }


def lines(person: Person) -> list[str]:
    profile = person.profile
    told = [f"{person.name} ({person.id}), enrolled {local(person.created_at)}, {person.photos} photos"]
    told += [f"  {count} templates for {space}" for space, count in person.templates.items()]
    if profile.external_id is not None:
        told.append(f"  external id {profile.external_id}")
    if profile.tags:
        told.append(f"  tags: {', '.join(profile.tags)}")
    if profile.threshold is not None:
        told.append(f"  named from a cosine of {profile.threshold.cosine:g} on in {profile.threshold.space}")
    if (consent := profile.consent) is not None:
        until = "" if consent.expires_at is None else f", until {local(consent.expires_at)}"
        told.append(f"  consent by {consent.by} since {local(consent.at)}{until}, for: {consent.purpose}")
    if profile.ignored:
        told.append("  ignored: known, and never told of")
    return told


def negative_summary(negative: KeptNegative) -> dict[str, Any]:
    return {
        "id": negative.id,
        "source": negative.source,
        "quality": round(negative.quality, 4),
        "created_at": negative.created_at,
        "spaces": list(negative.spaces),
    }


def negative_line(negative: KeptNegative) -> str:
    where = seen_at(negative.source)
    return f"  not the face of {where} (negative {negative.id}, since {local(negative.created_at)})"


def seen_at(source: str) -> str:
    """A photo by the start of its SHA-256, as `people photos` has it."""
    kind, _, which = source.partition(" ")
    return f"photo {which[:12]}" if kind == "photo" else source


def local(at: float) -> str:
    """A time of day here."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
