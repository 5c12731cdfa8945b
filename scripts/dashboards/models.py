"""Models and memory: what serves where, how busy it is, what was exchanged and why, what it takes. Pure."""

from scripts.dashboards.parts import (
    ALL,
    GREEN,
    GREY,
    ORANGE,
    RATE,
    RED,
    YELLOW,
    Panel,
    heatmap,
    query,
    rise,
    row,
    series,
    steps,
    timeline,
)

# Without a GPU nothing is reserved on one, and what can't be loaded is refused before it counts as a trouble: a test on
# a machine that has none can't show that these move.
GPU_ONLY = ("whosthere_vram_free_bytes", "whosthere_vram_reserved_bytes", "whosthere_model_troubles_total")


def panels() -> list[Panel]:
    return [*_serving(), row("Work"), *_work(), row("Memory"), *_memory()]


def _serving() -> list[Panel]:
    return [
        timeline(
            "Loaded models, and where they run",
            "The device is the one that a model really runs on. docs/models.md says how one is chosen.",
            f"max by (model, device) (whosthere_model_active{{{ALL}}})",
            "{{model}} on {{device}}",
            {0: ("not loaded", GREY), 1: ("loaded", GREEN)},
            size=(10, 7),
        ),
        timeline(
            "On the CPU though a GPU was tried first",
            "By reason; no row: nothing fell back. no_gpu and no_cuda_provider: the machine; out_of_memory: whoever "
            "else is on the GPU. docs/models.md",
            f"max by (model, reason) (whosthere_model_fallback{{{ALL}}})",
            "{{model}}: {{reason}}",
            {0: ("over", GREEN), 1: ("on the CPU", ORANGE)},
            size=(8, 7),
        ),
        timeline(
            "Answers of embedders",
            "useless: nothing usable for ten faces in a row: `whosthere models selftest`, then another one. Of those "
            "that have served.",
            f"min by (model) (whosthere_model_healthy{{{ALL}}})",
            "{{model}}",
            {0: ("useless", RED), 1: ("ok", GREEN)},
            size=(6, 7),
        ),
    ]


def _work() -> list[Panel]:
    items, runs = (f"sum by (model) (rate(whosthere_batch_size_{of}{{{ALL}}}{RATE}))" for of in ("sum", "count"))
    return [
        series(
            "Runs a second",
            "How often a model is asked; each run takes a batch.",
            [query(runs, "{{model}}")],
            size=(8, 8),
        ),
        series(
            "Mean batch",
            "Items that go through a model at once. It grows with load, and makes runs on a GPU cheap.",
            [query(f"{items} / ({runs} > 0)", "{{model}}")],
            size=(8, 8),
        ),
        series(
            "Waiting for a model",
            "Items in each model's queue. One that stays full: frames are skipped.",
            [query(f"max by (queue) (max_over_time(whosthere_queue_depth{{{ALL}}}{RATE}))", "{{queue}}")],
            size=(8, 8),
        ),
        heatmap(
            "Time to detect",
            "Of one frame, with its wait for the batch.",
            "whosthere_stage_seconds",
            "s",
            f'{ALL}, stage="detect"',
            size=(8, 8),
        ),
        heatmap(
            "Time to embed",
            "Of the faces of one frame, with their wait for the batch.",
            "whosthere_stage_seconds",
            "s",
            f'{ALL}, stage="embed"',
            size=(8, 8),
        ),
        series(
            "Faces embedded a second",
            "Far fewer than are found: a face that is known well is not embedded again.",
            [query(f"sum by (model) (rate(whosthere_embeddings_total{{{ALL}}}{RATE}))", "{{model}}")],
            size=(8, 8),
        ),
        series(
            "Exchanged in five minutes, by reason",
            "Models or places that were exchanged. Many: the machine is at its limit, or shared with somebody. "
            "docs/models.md has the reasons.",
            [query(rise("whosthere_model_switches_total", "reason"), "{{reason}}")],
            bars=True,
            size=(12, 7),
        ),
        series(
            "Troubles in five minutes, by code",
            "Runs and loads that failed. insufficient_gpu_memory: whoever else is on the GPU; triton_unavailable: the "
            "server; weights_missing: somebody chose a model whose weights are not here.",
            [query(rise("whosthere_model_troubles_total", "model, device, code"), "{{model}} on {{device}}: {{code}}")],
            bars=True,
            size=(12, 7),
        ),
    ]


def _memory() -> list[Panel]:
    return [
        series(
            "Memory of the process",
            "resident counts; virtual is what it might use, and large with a GPU.",
            [
                query(f"sum(process_resident_memory_bytes{{{ALL}}})", "resident"),
                query(f"sum(process_virtual_memory_bytes{{{ALL}}})", "virtual"),
            ],
            unit="bytes",
            size=(8, 8),
        ),
        series(
            "Open files and connections",
            "As a share of what the process may have (ulimit -n). Near 1 cameras and clients are refused.",
            [query(f"process_open_fds{{{ALL}}} / process_max_fds{{{ALL}}}", "{{instance}}")],
            unit="percentunit",
            limits=steps((None, GREEN), (0.7, YELLOW), (0.9, RED)),
            size=(4, 8),
        ),
        series(
            "GPU memory free",
            "On all GPUs together; 0 where there is none.",
            [query(f"sum by (instance) (whosthere_vram_free_bytes{{{ALL}}})", "{{instance}}")],
            unit="bytes",
            size=(6, 8),
        ),
        series(
            "GPU memory reserved",
            "Held by a model, or promised to it.",
            [query(f"sum by (model) (whosthere_vram_reserved_bytes{{{ALL}}})", "{{model}}")],
            unit="bytes",
            stack=True,
            size=(6, 8),
        ),
    ]
