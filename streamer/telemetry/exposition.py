"""Metrics in; the text that Prometheus scrapes out: byte for byte prometheus_client's, in a third of its time.

Any thread, several at once; a scrape of hundreds of cameras takes milliseconds, so callers on the loop use one.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import Counter, Gauge, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

# Version 1.0.0 would say the same of these names, and not every Prometheus before 3 knows it.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Labels = tuple[str, ...]
_Sample = tuple[str, Mapping[str, str], float]  # name or suffix, labels of its own, value

_NONE: Mapping[str, str] = {}

_CREATED = ""  # the head of a sample that is left out


class Exposition:
    """The text of some collectors, in their order.

    When each series was created is left out: it would be half of the text, and Prometheus would keep it as series.
    """

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = tuple(collectors)
        self._heads: dict[tuple[str, ...], list[str]] = {}

    def text(self) -> bytes:
        """What they say now. What stands before the values is kept from one scrape to the next."""
        before, self._heads = self._heads, {}  # a new one: cameras come and go
        out: list[str] = []
        for collector in self._collectors:
            for family, children in _families(collector):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                told = _escaped(family.documentation, quotes=False)
                out.append(f"# HELP {name} {told}\n# TYPE {name} {family.type}\n")
                for labels, values, samples in children:
                    key = (name, *values)
                    heads = before.get(key) or [_head(family.name, sample, labels, values) for sample in samples]
                    self._heads[key] = heads
                    for head, (_, _, value) in zip(heads, samples, strict=True):
                        if head != _CREATED:
                            out.append(f"{head} {_number(value)}\n")
        return "".join(out).encode()


def _families(collector: Collector) -> Iterator[tuple[Metric, list[tuple[_Labels, _Labels, list[_Sample]]]]]:
    """Each family with what it has: label names, their values, and samples whose labels are none of these.

    collect() makes a dictionary of the labels of each sample, which is most of its time; hence the look inside.
    """
    if not isinstance(collector, MetricWrapperBase) or not collector._labelnames:
        for family in collector.collect():
            yield family, [((), (), [(sample.name, sample.labels, sample.value) for sample in family.samples])]
    else:
        (family,) = collector.describe()
        labels: _Labels = tuple(collector._labelnames)
        children: dict[_Labels, Any] = dict(collector._metrics)  # type: ignore[arg-type]
        yield family, [(labels, values, _samples(child)) for values, child in children.items()]


def _samples(child: Any) -> list[_Sample]:  # noqa: ANN401 - what prometheus_client does not type
    if type(child) is Counter:
        return [("_total", _NONE, child._value.get())]
    if type(child) is Gauge and "_child_samples" not in vars(child):  # which set_function() puts there
        return [("", _NONE, child._value.get())]
    return [(sample.name, sample.labels, sample.value) for sample in child._samples()]


def _head(family: str, sample: _Sample, labels: _Labels, values: _Labels) -> str:
    """`name{label="value"}`; a child's sample has a suffix for a name."""
    said, more, _ = sample
    name = said if said.startswith(family) else family + said
    if name == f"{family}_created":
        return _CREATED
    pairs = sorted([*zip(labels, values, strict=True), *more.items()])
    told = ",".join(f'{label}="{_escaped(value)}"' for label, value in pairs)
    return f"{name}{{{told}}}" if pairs else name


def _number(value: float) -> str:
    # Go writes those from a million on otherwise than Python.
    return repr(value) if -1e6 < value < 1e6 and type(value) is float else str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _escaped(value: str, *, quotes: bool = True) -> str:
    escaped = value.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quotes else escaped
