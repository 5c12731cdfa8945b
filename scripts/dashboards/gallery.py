"""Gallery and accuracy: who is enrolled, how sure verdicts are, how soon a name comes, what that rests on. Pure."""

from scripts.dashboards.parts import (
    ALL,
    GREEN,
    ORANGE,
    RATE,
    RED,
    YELLOW,
    Panel,
    heatmap,
    quantiles,
    query,
    rise,
    row,
    series,
    stat,
    steps,
    timeline,
)


def panels() -> list[Panel]:
    return [*_gallery(), row("How sure it is"), *_accuracy(), row("Re-ranking"), *_reranking()]


def _gallery() -> list[Panel]:
    return [
        stat("People", "Enrolled.", f"sum(whosthere_gallery_people{{{ALL}}})", graph=True, size=(3, 8)),
        stat(
            "Not covered",
            "People with photos who lack a template of a model that may serve, and who would be unknown to it. It "
            "makes them by itself; if this stays: `whosthere gallery reindex`.",
            f"max(whosthere_gallery_uncovered{{{ALL}}})",
            thresholds=steps((None, GREEN), (1, YELLOW)),
            nothing="none",
            size=(3, 8),
        ),
        series(
            "Templates",
            "By the embedder that made them; three to eight a person name people best.",
            [query(f"sum by (model) (whosthere_gallery_templates{{{ALL}}})", "{{model}}")],
            size=(6, 8),
        ),
        timeline(
            "Calibration",
            "What the threshold rests on. used: a calibration that holds; outgrown or stale: calibrate again; none: "
            "the model's own threshold. docs/calibration.md",
            f"max by (space, state) (whosthere_gallery_calibration{{{ALL}}}) > 0",
            "{{space}}: {{state}}",
            {1: ("so it stands", GREEN)},
            size=(6, 8),
        ),
        series(
            "Strangers that would be named",
            "Expected share (FPIR) at the threshold in use, with the people of now. Above what you calibrated for: "
            "`whosthere calibrate --fpir`. Nothing is shown where nobody can tell.",
            [query(f"max by (space) (whosthere_gallery_expected_fpir{{{ALL}}}) >= 0", "{{space}}")],
            unit="percentunit",
            size=(6, 8),
        ),
    ]


def _accuracy() -> list[Panel]:
    new = f'sum(rate(whosthere_events_total{{{ALL}, type="new"%s}}{RATE}))'
    named, everybody = new % ', known="true"', new % ""
    qualities, faces = (f"sum(rate(whosthere_face_quality_{of}{{{ALL}}}{RATE}))" for of in ("sum", "count"))
    return [
        series(
            "Share of visits that are named",
            "Of all new visits. At one door it hardly changes from week to week: a fall is a camera that was moved, "
            "poorer light, or a model that was exchanged.",
            [query(f"{named} / ({everybody} > 0)", "named")],
            unit="percentunit",
            most=1,
            size=(8, 8),
        ),
        heatmap(
            "Similarity over the threshold",
            "At a visit's first verdict: above 0 is who was named. Two clouds with a gap at 0 are good; one cloud "
            "around 0 means mistakes both ways: better photos, another model, or calibrate. docs/accuracy.md",
            "whosthere_match_margin",
            "short",
            size=(8, 8),
        ),
        series(
            "Mean quality of faces",
            "Of all cameras; by camera on Cameras.",
            [query(f"{qualities} / ({faces} > 0)", "quality")],
            unit="percentunit",
            most=1,
            size=(8, 8),
        ),
        series(
            "Time to a name",
            "From the first sight of a visit to the frame that named it: how long somebody has to be in view.",
            quantiles("whosthere_time_to_name_seconds"),
            unit="s",
            limits=steps((None, GREEN), (2, ORANGE), (5, RED)),
            size=(8, 8),
        ),
        heatmap(
            "Time to a name, all of them",
            "From the first sight of a visit to the frame that named it.",
            "whosthere_time_to_name_seconds",
            "s",
            size=(8, 8),
        ),
        series(
            "Faces not recognised in five minutes",
            "face_not_upright: turn the camera, or set its `rotate`; face_doubtful: hardly a face; embedding_unusable: "
            "the model. docs/cameras.md",
            [query(rise("whosthere_faces_rejected_total", "reason"), "{{reason}}")],
            bars=True,
            size=(8, 8),
        ),
    ]


def _reranking() -> list[Panel]:
    mean = (
        f"sum(rate(whosthere_rerank_candidates_sum{{{ALL}}}{RATE})) / "
        f"(sum(rate(whosthere_rerank_candidates_count{{{ALL}}}{RATE})) > 0)"
    )
    return [
        series(
            "Time to re-rank a face",
            "Where `gallery.rerank` is on. docs/rerank.md",
            quantiles("whosthere_rerank_seconds"),
            unit="s",
        ),
        series(
            "Candidates of a face", "Templates that a face is held against, in the mean.", [query(mean, "candidates")]
        ),
    ]
