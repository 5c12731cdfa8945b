"""`people look-alikes`: which people of the gallery are most alike, and what can be done about it."""

from collections.abc import Mapping, Sequence
from typing import Any

from gallery.matching.cross_scores import LookAlike
from gallery.matching.space_policy import SpacePolicy
from gallery.people import Profile
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, print_table, settings_of
from streamer.cli.progress import progress_of
from streamer.process import make_data_folder, open_gallery

SHOWN = 10
Row = dict[str, Any]


def look_alikes(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List the people who are most alike: those who may be taken for one another, or are enrolled twice."""
    # Not at the head: the other commands of this group do without.
    from streamer.model_layer.calibrating import in_use, policies_of, scores_of
    from streamer.model_layer.setup import make_manager

    settings = settings_of(config, overrides, log_level="error")
    make_data_folder(settings.paths.data)
    _, policy = next(iter(policies_of(settings, make_manager(settings)).values()))
    with open_gallery(settings) as store, progress_of("faces compared") as told:
        policy = in_use(settings, store, policy)
        scores = scores_of(settings, store, policy.space, told)
        rows = alike_rows(scores.look_alikes, store.profiles(), policy)
    if json:
        print_json({"space": policy.space, "threshold": policy.threshold, "look_alikes": rows})
    else:
        show_alike(rows, policy)


def alike_rows(found: Sequence[LookAlike], profiles: Mapping[str, Profile], policy: SpacePolicy) -> list[Row]:
    """`limits`: the similarity reaches the threshold of one of the two, so that the margin alone keeps them apart."""
    return [
        {
            "people": [{"id": who, "name": profiles[who].name} for who in (pair.first, pair.second)],
            "space": policy.space,
            "similarity": round(pair.similarity, 4),
            "limits": pair.similarity >= min(_bar(profiles[who], policy) for who in (pair.first, pair.second)),
        }
        for pair in found
        if pair.first in profiles and pair.second in profiles
    ][:SHOWN]


def _bar(profile: Profile, policy: SpacePolicy) -> float:
    own = profile.threshold
    return own.cosine if own is not None and own.space == policy.space else policy.threshold


def show_alike(rows: Sequence[Row], policy: SpacePolicy) -> None:
    print_line()
    print_line(f"who is most alike in {policy.space} (named from {policy.threshold:.3f} on):")
    print_table(
        ["similarity", "", "of", "and"],
        [
            [f"{row['similarity']:.3f}", "at the threshold" if row["limits"] else ""]
            + [f"{one['name']} ({one['id']})" for one in row["people"]]
            for row in rows
        ],
        "Nobody is enrolled beside somebody else.",
    )
    if any(row["limits"] for row in rows):
        print_line("A photo of one would be named as the other, were that one not enrolled, too; what helps:")
        print_line("  one person twice:  whosthere people merge PERSON INTO")
        print_line("  family, twins:     a threshold of their own (whosthere people set PERSON --threshold COSINE),")
        print_line("                     more and better photos, a larger gallery.margin")
        print_line("  a stranger's face: whosthere people not PERSON EVENT_ID|PHOTO")
