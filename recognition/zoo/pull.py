"""Pull: a catalogue entry in, its weights and specs in the weights folder out. Blocks for the whole download.

Called by `whosthere models pull` alone, after its user has accepted the licence: nothing else touches the network
for weights.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from recognition.errors import ArchiveInvalid, CodedError, WeightsDigestMismatch
from recognition.runtimes.onnx_session import need_onnxruntime
from recognition.specs.spec import AnySpec
from recognition.specs.weights import read_weights
from recognition.zoo.catalogue import CatalogueEntry
from recognition.zoo.download import Download, Progress, discard, fetch
from recognition.zoo.imports import ImportReport, Taken, import_entry
from recognition.zoo.receipts import RECEIPTS, Receipt, read_receipts, write_receipt


def already_here(entry: CatalogueEntry, folder: Path, known: Mapping[str, AnySpec]) -> ImportReport | None:
    """What an earlier pull of this entry left in the folder, if it is all there and unaltered; else None."""
    receipt = read_receipts(folder).get(entry.name)
    if receipt is None or any(name not in known for name in receipt.models):
        return None
    try:
        for name in receipt.models:
            read_weights(known[name], [folder])
    except CodedError:
        return None
    return ImportReport([Taken(known[name], written=False) for name in receipt.models])


def pull(
    entry: CatalogueEntry, folder: Path, known: Mapping[str, AnySpec], progress: Progress, tell: Callable[[str], None]
) -> ImportReport:
    """Fetch an entry's file, hold it to its digest, take it in. Raises what fetch() and import_entry() raise."""
    need_onnxruntime()  # before the download: who lacks it should not fetch that first
    receipt = read_receipts(folder).get(entry.name)
    part = folder / f"{entry.file}.part"
    digest = fetch(Download(entry.url, part, entry.size, exact=entry.sha256 is not None), progress)
    if entry.sha256 not in (None, digest):
        discard(part)
        raise WeightsDigestMismatch(
            f"{entry.url}: what came has sha256 {digest[:12]}…, the catalogue says {(entry.sha256 or '')[:12]}…; "
            "nothing was taken in"
        )
    if receipt is not None and receipt.sha256 != digest:
        discard(part)
        raise WeightsDigestMismatch(
            f"{entry.url}: what came has sha256 {digest[:12]}…, the first pull recorded {receipt.sha256[:12]}…; "
            f"nothing was taken in. If its makers say that they changed it, delete its lines in {folder / RECEIPTS}"
        )
    tell(f"{entry.name}: sha256 {digest}" + ("" if entry.sha256 or receipt else ", recorded for later pulls"))
    try:
        report = import_entry(part, entry, folder, known)
    except (ArchiveInvalid, WeightsDigestMismatch):
        discard(part)  # again would be the same
        raise
    models = tuple(taken.spec.name for taken in report.taken)
    write_receipt(folder, entry.name, Receipt(url=entry.url, sha256=digest, models=models))
    discard(part)
    return report
