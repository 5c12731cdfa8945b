"""`models ...`: the model specs that are known, their weights, and whether they behave."""

from typing import ClassVar

import typer

from streamer.cli.listed import Listed, ListedGroup


class Models(ListedGroup):
    """A module, mostly, for what belongs together."""

    listed: ClassVar = {
        "list": Listed(
            "models.listing",
            "List every model: whether it can be had, where it would run here, what was measured, its licence.",
        ),
        "show": Listed(
            "models.listing", "Show one model: its spec, whether it can be had here, and what was measured of it."
        ),
        "verify": Listed("models.verifying", "Check that weights are where they should be and unaltered (SHA-256)."),
        "selftest": Listed(
            "models.verifying",
            "Load models and hold them to what their specs promise: shapes, batch = single, embedding space, "
            "portraits.",
        ),
        "use": Listed(
            "models.use",
            "Have one embedder serve, whatever memory and load say, until `models use auto`; a running service "
            "follows.",
        ),
        "eval": Listed(
            "models.evaluate",
            "Measure how well a detector and an embedder tell people apart, over photos of named people.",
        ),
        "bench": Listed(
            "models.bench",
            "Measure what memory models take here and how long their batches run; the choice among models goes by it.",
        ),
        "pull": Listed(
            "models.pull",
            "Fetch weights from their makers into the first folder of paths.models; without a name, list what "
            "there is.",
        ),
        "import": Listed(
            "models.imports",
            "Take weights from a file into the first folder of paths.models; of a pack or bundle, all or nothing.",
        ),
        "bundle": Listed(
            "models.imports",
            "Write models as one file (weights, specs, spaces, licences, digests), for `models import` elsewhere.",
        ),
        "convert": Listed(
            "models.convert",
            "Convert a checkpoint as its authors published it; what comes out is held against PyTorch on real faces.",
        ),
        "triton-repo": Listed(
            "models.triton_repo",
            "Write models as a repository for a Triton server: weights, config.pbtxt, licences; all of it or nothing.",
        ),
    }


def register(app: typer.Typer) -> None:
    models = typer.Typer(
        cls=Models,
        no_args_is_help=True,
        help="The models that are known, and whether their weights are in order.",
        epilog="Example: whosthere models list",
    )
    app.add_typer(models, name="models")
