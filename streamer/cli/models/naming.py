"""The part of `models eval` that measures ways of naming: aggregation, margin, re-ranking, the classifier."""

from importlib.util import find_spec
from typing import Any

from gallery.evaluation.naming import FPIRS, Naming, Rules, Way, measure_naming
from gallery.evaluation.open_set import NamingRates
from recognition.errors import UnsupportedRuntime
from recognition.evaluation.evaluate import Evaluation
from streamer.cli.options import note, print_line, print_table
from streamer.settings import GallerySettings

_TOLD = {1e-2: "1e-2", 1e-3: "1e-3"}
_WAYS: dict[Way, str] = {
    "best": "best template",
    "mean_of_three": "mean of the best three",
    "class_mean": "class mean",
    "margin": "{aggregation}, margin {margin:g}",
    "rerank": "the same, and re-ranking",
    "margin_of_classes": "margin {margin:g}, of who has a class",
    "classifier": "classifier, of who has a class",
}


def naming_of(found: Evaluation, settings: GallerySettings) -> Naming | None:
    """By the settings' margin and aggregation. None without FAISS, which is said."""
    classifies = find_spec("sklearn") is not None
    if not classifies:
        note("no classifier is measured: it needs scikit-learn; do: pip install 'whosthere[classifier]'")
    rules = Rules(settings.aggregation, settings.margin, settings.top_k, settings.rerank_threshold, classifies)
    try:
        return measure_naming(found.templates, found.is_enrolled, rules)
    except UnsupportedRuntime as error:
        note(f"warning: no way of naming is measured: {error}")
        return None


def naming_document(naming: Naming) -> dict[str, Any]:
    fnir = {
        way: {
            enrolled: {_TOLD[fpir]: _rates_document(rates) for fpir, rates in by_fpir.items()}
            for enrolled, by_fpir in by_enrolled.items()
        }
        for way, by_enrolled in naming.rates.items()
    }
    return {"aggregation": naming.rules.aggregation, "margin": naming.rules.margin, "fnir": fnir}


def _rates_document(rates: NamingRates) -> dict[str, float | None]:
    return {
        "fnir": rates.fnir,
        "low": rates.low,
        "high": rates.high,
        "threshold": rates.threshold,
        "people": rates.people,
        "genuine_probes": rates.probes,
        "impostor_probes": rates.impostors,
    }


def show_naming(naming: Naming) -> None:
    rules = {"aggregation": naming.rules.aggregation.replace("_", " "), "margin": naming.rules.margin}
    print_line("")
    print_line(
        "naming: half of the people enrolled, then the other half; the last quarter of a person's photos are probes;"
    )
    print_line("in brackets the 95 % interval over other people of their kind")
    rows = []
    for way, by_enrolled in naming.rates.items():
        for enrolled, by_fpir in by_enrolled.items():
            rates = by_fpir[FPIRS[0]]
            over = f"{rates.probes} of {rates.people} people, {rates.impostors} others"
            rows.append([_WAYS[way].format(**rules), enrolled, *(_cell(by_fpir[fpir]) for fpir in FPIRS), over])
    print_table(["", "enrolled", *(f"FNIR at FPIR {_TOLD[fpir]}" for fpir in FPIRS), "probes"], rows, "")


def _cell(rates: NamingRates) -> str:
    if rates.fnir is None or rates.low is None or rates.high is None:
        return "too few"
    return f"{rates.fnir:.1%} ({rates.low:.1%}-{rates.high:.1%})"
