"""The part of `models eval` that measures ways of naming: aggregation, margin, re-ranking, the classifier."""

from typing import Any

from gallery.evaluation.naming import ENROLLED, FPIRS, Naming, Rules, measure_naming
from gallery.evaluation.open_set import NamingRates
from recognition.evaluation.evaluate import Evaluation
from streamer.cli.options import print_line, print_table
from streamer.settings import GallerySettings

_TOLD = {1e-2: "1e-2", 1e-3: "1e-3"}
_WAYS = {
    "best": "best template",
    "mean_of_three": "mean of the best three",
    "class_mean": "class mean",
    "margin": "{aggregation}, margin {margin:g}",
}


def naming_of(found: Evaluation, settings: GallerySettings) -> Naming:
    """By the settings' margin and aggregation. Raises UnsupportedRuntime without FAISS."""
    rules = Rules(settings.aggregation, settings.margin, settings.top_k)
    return measure_naming(found.templates, found.is_enrolled, rules)


def naming_document(naming: Naming) -> dict[str, Any]:
    return {
        "people_to_find": naming.people_to_find,
        "genuine_probes": naming.genuine_probes,
        "impostor_probes": naming.impostor_probes,
        "aggregation": naming.rules.aggregation,
        "margin": naming.rules.margin,
        "fnir": {
            way: {
                enrolled: {_TOLD[fpir]: _rates_document(rates) for fpir, rates in by_fpir.items()}
                for enrolled, by_fpir in by_enrolled.items()
            }
            for way, by_enrolled in naming.rates.items()
        },
    }


def _rates_document(rates: NamingRates) -> dict[str, float | None]:
    return {"fnir": rates.fnir, "threshold": rates.threshold, "low": rates.low, "high": rates.high}


def show_naming(naming: Naming) -> None:
    rules = {"aggregation": naming.rules.aggregation.replace("_", " "), "margin": naming.rules.margin}
    print_line("")
    print_line(
        f"naming {naming.people_to_find} people: half of all enrolled, then the other half; "
        f"{naming.genuine_probes} genuine and {naming.impostor_probes} impostor probes"
    )
    rows = [
        [_WAYS[way].format(**rules), enrolled, *(_cell(by_fpir[fpir]) for fpir in FPIRS)]
        for way, by_enrolled in naming.rates.items()
        for enrolled, by_fpir in by_enrolled.items()
    ]
    heads = (f"FNIR at FPIR {_TOLD[fpir]} (95 %)" for fpir in FPIRS)
    print_table(["", "photos enrolled", *heads], rows, "")


def _cell(rates: NamingRates) -> str:
    if rates.fnir is None or rates.low is None or rates.high is None:
        return "too few"
    return f"{rates.fnir:.1%} ({rates.low:.1%} to {rates.high:.1%})"
