"""The model inventory: specs in, docs/model-inventory.md out. Pure, but for what is run as a module.

    python -m recognition.specs.inventory > docs/model-inventory.md

writes the page anew; tests/recognition/specs/test_inventory.py holds it to the specs.
"""

import sys
from collections.abc import Iterable, Sequence

from recognition.specs.files import load_specs
from recognition.specs.spec import AnySpec, BatchNeeds, DetectorSpec, EmbedderSpec

COMMAND = "python -m recognition.specs.inventory > docs/model-inventory.md"
NOT_MEASURED = "not measured"

_COMMON = ("engine", "precision", "input", "batches: CPU; CUDA")
_ORIGIN = ("licence", "source", "SHA-256 of the weights")
_DETECTOR = ("name", "family", *_COMMON, "least score; NMS", *_ORIGIN)
_EMBEDDER = ("name", "family, architecture", *_COMMON, "numbers, space", *_ORIGIN)

_HEAD = f"""# Model inventory

Made of `model/specs` by `{COMMAND}`; a test holds it to them.

No figure is estimated: "{NOT_MEASURED}" says that nobody has measured it. What is here, and what it takes on your
machine: `whosthere models list`. A digest that is not known is that of weights which `whosthere models convert` makes;
it then stands in a spec beside them."""

_TAKES = (
    """**What they take**: ms a run, on one core or one GPU, and all MiB (RAM or VRAM) that the model has by then."""
)

_ACCURACY = """**How accurate they are**: the cosine that a share FMR of impostor pairs reaches and, in brackets, the
share of genuine pairs that does (TMR). In bold where 1:N search begins."""


def inventory(specs: Iterable[AnySpec]) -> str:
    """The page as Markdown: for each role what its models are, what they take, and how accurate they are."""
    ordered = sorted(specs, key=lambda spec: spec.name)
    detectors = [spec for spec in ordered if isinstance(spec, DetectorSpec)]
    embedders = [spec for spec in ordered if isinstance(spec, EmbedderSpec)]
    parts = [
        _HEAD,
        "## Detectors (`face_detection`)",
        _table(_DETECTOR, [_detector(spec) for spec in detectors]),
        _TAKES,
        *_needs(detectors),
        "## Embedders (`face_embedding`)",
        _table(_EMBEDDER, [_embedder(spec) for spec in embedders]),
        _TAKES,
        *_needs(embedders),
        _ACCURACY,
        *_accuracy(embedders),
    ]
    return "\n\n".join(parts) + "\n"


def _detector(spec: DetectorSpec) -> list[str]:
    least = f"{spec.thresholds.score:g}; {spec.thresholds.nms:g}"
    return [_code(spec.name), spec.family, *_common(spec), least, *_origin(spec)]


def _embedder(spec: EmbedderSpec) -> list[str]:
    network = f"{spec.merge} of {' and '.join(spec.members)}" if spec.members else spec.architecture
    family = f"{spec.family}, {network}" if network else spec.family
    made = f"{spec.embedding_size}{' and the feature norm' if spec.feature_norm else ''}, {_code(spec.space)}"
    return [_code(spec.name), family, *_common(spec), made, *_origin(spec)]


def _common(spec: AnySpec) -> list[str]:
    want = spec.input
    size = f"{want.size[0]} x {want.size[1]}"
    size += f" or less, in multiples of {want.multiple}" if want.multiple else ""
    crop = f", {spec.crop} crop" if isinstance(spec, EmbedderSpec) else ""
    scaled = "0..255" if (want.mean, want.std) == (0, 1) else f"(x - {want.mean:g}) / {want.std:g}"
    engine = spec.engine if spec.runtime == "inprocess" else f"{spec.engine} on {spec.runtime}"
    buckets = "; ".join(", ".join(map(str, sizes)) for _, sizes in spec.batch_buckets)
    return [engine, spec.precision, f"{size}{crop}, {want.color_order.upper()} {scaled}", buckets]


def _origin(spec: AnySpec) -> list[str]:
    return [spec.licence, spec.source, _code(spec.weights_digest) if spec.weights_digest else "not known"]


def _needs(specs: Sequence[AnySpec]) -> list[str]:
    """A table by batch size, where each was measured, and which were not."""
    measured = [
        (spec.name, device, by_size, spec.needs.measured_on)
        for spec in specs
        if spec.needs is not None
        for device, by_size in (("CPU", spec.needs.cpu), ("CUDA", spec.needs.cuda))
        if by_size
    ]
    sizes = sorted({size for _, _, by_size, _ in measured for size in by_size})
    places = _numbered(place for *_, place in measured)
    rows = [
        [_code(name), device, *(_need(by_size.get(size)) for size in sizes), str(places[place])]
        for name, device, by_size, place in measured
    ]
    table = _table(("name", "device", *(f"batch of {size}" for size in sizes), "where"), rows)
    missing = [
        f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]} on {device}: {', '.join(_code(name) for name in names)}."
        for device in ("CPU", "CUDA")
        if (names := [s.name for s in specs if (s.name, device) not in {row[:2] for row in measured}])
    ]
    return [*([table, _notes(places)] if rows else []), *missing]


def _need(need: BatchNeeds | None) -> str:
    return "" if need is None else f"{need.run_ms:g} ms, {need.memory_mib:g} MiB"


def _accuracy(specs: Sequence[EmbedderSpec]) -> list[str]:
    """A table by false-match rate, and where each was measured."""
    rates = sorted({row.fmr for spec in specs for row in spec.thresholds.table}, reverse=True)
    places = _numbered(spec.thresholds.measured_on for spec in specs)
    rows = [
        [_code(spec.name), *(_point(spec, rate) for rate in rates), str(places[spec.thresholds.measured_on])]
        for spec in specs
    ]
    return [
        _table(("name", *(f"FMR {rate:.0e}".replace("e-0", "e-") for rate in rates), "where"), rows),
        _notes(places),
    ]


def _point(spec: EmbedderSpec, rate: float) -> str:
    row = next((row for row in spec.thresholds.table if row.fmr == rate), None)
    if row is None:
        return ""
    cosine = f"**{row.cosine:g}**" if rate == spec.thresholds.identification else f"{row.cosine:g}"
    return f"{cosine} ({NOT_MEASURED if row.tmr is None or not spec.thresholds.measured else f'{row.tmr:.1%}'})"


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    """Each text once, by its number from 1 on."""
    return {text: number for number, text in enumerate(dict.fromkeys(texts), 1)}


def _notes(numbered: dict[str, int]) -> str:
    return "\n".join(f"{number}. {text}" for text, number in numbered.items())


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    sys.stdout.write(inventory(load_specs().values()))
