"""`people set|ignore|rename`: what is said of a person, and the name."""

import time
from dataclasses import replace
from typing import Annotated

import typer

from gallery.consent import until_of
from gallery.people import OwnThreshold
from gallery.storage.store import PersonStore
from streamer.cli.options import AsJson, ConfigFile, Overrides, Who, note, print_json, print_line, settings_of
from streamer.cli.people.summary import lines, summary
from streamer.people.profile_change import KEPT, ConsentChange, Kept, ProfileChange
from streamer.process import open_gallery
from streamer.settings import Settings

NONE = "none"


def register(people: typer.Typer) -> None:
    people.command("set", epilog='Example: whosthere people set "Ada Lovelace" --external-id 4711 --tag staff')(
        set_person
    )
    people.command("ignore", epilog='Example: whosthere people ignore "Ada Lovelace"')(ignore)
    people.command(epilog='Example: whosthere people rename "Ada Byron" "Ada Lovelace"')(rename)


def set_person(
    who: Who,
    external_id: Annotated[
        str | None, typer.Option("--external-id", help='What another system calls them; "none": nothing.')
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help='Instead of all that are there. Repeatable; "none": none.')
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            help='The cosine from which on this person is named, by recognition.embedder; "none": as all are.'
        ),
    ] = None,
    consent_by: Annotated[str | None, typer.Option("--consent-by", help="Whose word it is.")] = None,
    consent_purpose: Annotated[str | None, typer.Option("--consent-purpose", help="And what for.")] = None,
    consent_until: Annotated[
        str | None,
        typer.Option("--consent-until", help='Until when, like 2027-12-31: then the person is erased; "none": no end.'),
    ] = None,
    no_consent: Annotated[
        bool, typer.Option("--no-consent", help="Nothing is known of a consent (any more); nobody is erased for it.")
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Say what another system calls a person, tags, a threshold of their own, and the consent that they gave."""
    told = (external_id, tags, threshold, consent_by, consent_purpose, consent_until)
    if not no_consent and all(value is None for value in told):
        raise typer.BadParameter("say what to set, like --external-id or --consent-until; see --help")
    if no_consent and any(value is not None for value in told[3:]):
        raise typer.BadParameter("--no-consent and another --consent-... don't go together")
    settings, cosine = settings_of(config, overrides), _cosine(threshold)
    own = None if cosine is None else _of_space(settings, cosine)
    now = time.time()
    consent = None if no_consent else _consent(consent_by, consent_purpose, consent_until, now)
    change = ProfileChange(
        external_id=KEPT if external_id is None else _or_none(external_id),
        tags=KEPT if tags is None else tuple(tag for tag in tags if tag != NONE),
        threshold=KEPT if threshold is None else own,
        consent=consent,
    )
    with open_gallery(settings) as store:
        person = store.change(store.find(who).id, lambda profile: change.of(profile, now))
        if own is not None:
            _tell_if_low(settings, own, store)
    if json:
        print_json(summary(person))
    else:
        for line in lines(person):
            print_line(line)


def rename(
    who: Who,
    name: Annotated[str, typer.Argument(help="The new name.", metavar="NAME")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Give a person another name, one that nobody else has; the id stays."""
    with open_gallery(settings_of(config, overrides)) as store:
        renamed = store.rename(store.find(who).id, name)
    if json:
        print_json({"id": renamed.id, "name": renamed.name})
    else:
        print_line(f"{renamed.id} is now {renamed.name}")


def ignore(
    who: Who,
    config: ConfigFile = None,
    overrides: Overrides = None,
    undo: Annotated[bool, typer.Option("--undo", help="From now on the person is told of again.")] = False,
    json: AsJson = False,
) -> None:
    """Know a person and never tell of them: no events, no presence; nobody else is taken for them either."""
    with open_gallery(settings_of(config, overrides)) as store:
        person = store.change(store.find(who).id, lambda profile: replace(profile, ignored=not undo))
    if json:
        print_json(summary(person))
    else:
        how = "told of as everybody is" if undo else "known, and never told of"
        print_line(f"{person.name} ({person.id}) is {how} from now on")


def _consent(by: str | None, purpose: str | None, until: str | None, now: float) -> ConsentChange | Kept:
    if by is None and purpose is None and until is None:
        return KEPT
    expires_at = KEPT if until is None else None if until == NONE else until_of(until, now)
    return ConsentChange(by, purpose, expires_at)


def _or_none(text: str) -> str | None:
    return None if text == NONE else text


def _of_space(settings: Settings, cosine: float) -> OwnThreshold:
    """In the configured embedder's space. Raises ModelNotFound."""
    # The models, which whoever gives no threshold does without.
    from streamer.model_layer.setup import make_manager
    from streamer.people.own_threshold import own_threshold

    return own_threshold(settings, make_manager(settings), cosine)


def _tell_if_low(settings: Settings, own: OwnThreshold, store: PersonStore) -> None:
    """Where strangers are named by it more often than by what counts for everybody else now."""
    from streamer.model_layer.calibrating import in_use, policies_of
    from streamer.model_layer.setup import make_manager

    name, policy = policies_of(settings, make_manager(settings))[own.space]
    usual = in_use(settings, store, policy).threshold
    if own.cosine < usual:
        note(
            f"{own.cosine:g} is below {usual:.3g}, from which on {name} names others: strangers are more often taken "
            "for this person"
        )


def _cosine(text: str | None) -> float | None:
    if text is None or text == NONE:
        return None
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f'--threshold {text}: give a cosine from -1 to 1, or "{NONE}"') from None
