"""`people merge|split`: who was enrolled as two, and two who were enrolled as one."""

from typing import TYPE_CHECKING, Annotated

import typer

from gallery.merging import merged
from gallery.people import Person
from gallery.storage.store import Merged
from streamer.cli.options import (
    LOG_IS_READ,
    AsJson,
    ConfigFile,
    Overrides,
    Who,
    note,
    print_json,
    print_line,
    settings_of,
)
from streamer.cli.people.forget import confirm
from streamer.cli.people.summary import lines, summary
from streamer.cli.people.trained import note_classifiers
from streamer.process import open_gallery, this_user

if TYPE_CHECKING:
    from streamer.erasure.report import Outcome


def register(people: typer.Typer) -> None:
    people.command("merge", epilog='Example: whosthere people merge "Ada Byron" "Ada Lovelace" --yes')(merge)
    people.command("split", epilog='Example: whosthere people split "Ada Lovelace" 17 19 --as "Grace Hopper"')(split)


def merge(
    who: Who,
    into: Annotated[str, typer.Argument(help="Who the person is, too: this one's name and id stay.", metavar="INTO")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Make two who were enrolled one person: PERSON's photos, tags and what is said of them become INTO's.

    PERSON's name goes, and the id stands for INTO from now on, in kept visits, too. Nothing of it can be undone but by
    people split. Asks before; without a terminal --yes is needed.
    """
    # All of the models: not at the head, since `split` does without.
    from streamer.model_layer.enrolling import verifying_thresholds
    from streamer.model_layer.setup import make_manager
    from streamer.people.joining import likeness, merge_document, topics_after

    settings = settings_of(config, overrides)
    manager = make_manager(settings)
    thresholds = verifying_thresholds(manager)
    manager.close()
    with open_gallery(settings) as store:
        person, other = store.find(who), store.find(into)
        alike = likeness(store, person, other)
        if person.id != other.id and not yes:
            merged(person.profile, other.profile)  # what is refused is not asked about
            question = (
                f"Make {person.name} ({person.id}) one with {other.name} ({other.id})? {_told(alike, thresholds)}"
            )
            confirm(question, "nothing was merged")
        done = store.merge(person.id, other.id, thresholds)
    topics = topics_after(person.id, settings, this_user())
    if json:
        print_json(summary(done.person) | merge_document(person.id, done, alike, topics))
        return
    note(_told(alike, thresholds))
    _show(person, done, topics)


def _show(person: Person, done: Merged, topics: "Outcome") -> None:
    print_line(f"{person.name} ({person.id}) is {done.person.name} ({done.person.id}): {done.photos} photos more")
    for line in lines(done.person):
        print_line(line)
    if done.negatives:
        note(f"{done.negatives} faces of one were said not to be the other: that is not kept any more")
    if topics.done:
        note(f"retained topics of {person.id}: {topics.done}")
    for one in topics.left:
        note(f"left for now: {one}")
    if not done.is_overwritten:
        note(LOG_IS_READ)


def _told(alike: dict[str, float], thresholds: dict[str, float]) -> str:
    if not alike:
        return "No model has templates of both: whether they look alike is not known."
    told = "; ".join(
        f"a similarity of {cosine:.2f} in {space}"
        + (f", where one person has {thresholds[space]:.2f} and more" if space in thresholds else "")
        for space, cosine in sorted(alike.items())
    )
    return f"They have {told}."


def split(
    who: Who,
    photos: Annotated[list[int], typer.Argument(help="Numbers of photos in `people photos`.", metavar="PHOTO")],
    name: Annotated[str, typer.Option("--as", help="The name of whose photos they are.", metavar="NAME")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Make some of a person's photos those of somebody else, who is enrolled by them under another name.

    Kept visits stay with PERSON; of the other one nothing is said yet: no consent, tags or threshold.
    """
    settings = settings_of(config, overrides)
    with open_gallery(settings) as store:
        left, new = store.split(store.find(who).id, photos, name)
    if json:
        print_json({"person": summary(left), "new": summary(new)})
        note_classifiers(settings, left)
        return
    print_line(
        f"{new.name} ({new.id}) is enrolled with {new.photos} photos; {left.name} ({left.id}) has {left.photos} left"
    )
    if left.profile.consent is not None:
        note(f"no consent is known of {new.id}: whosthere people set {new.id} --consent-by ... --consent-purpose ...")
    note_classifiers(settings, left)
