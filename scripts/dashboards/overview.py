"""The overview: is it well, what does it see, what does it cost. Pure."""

from scripts.dashboards.parts import (
    ALL,
    GREEN,
    OK,
    ORANGE,
    RATE,
    RED,
    YELLOW,
    Panel,
    quantiles,
    query,
    row,
    series,
    stat,
    steps,
    timeline,
)

LATENCY = steps((None, GREEN), (0.25, YELLOW), (1.0, RED))


def panels() -> list[Panel]:
    return [*_now(), row("Work"), *_work(), row("What it costs"), *_costs()]


def _now() -> list[Panel]:
    latency = f"histogram_quantile(0.95, sum by (le) (rate(whosthere_event_latency_seconds_bucket{{{ALL}}}{RATE})))"
    return [
        stat(
            "Service",
            "Whether Prometheus reaches /metrics. Down: `systemctl status whosthere`, then its log; a service that "
            "starts answers once its models are loaded.",
            f"min(up{{{ALL}}})",
            mappings={0: ("down", RED), 1: ("up", GREEN)},
        ),
        stat(
            "Cameras online",
            "Cameras whose frames arrive. The dashboard Cameras says which do not, and why.",
            f"sum(whosthere_camera_up{{{ALL}}})",
            graph=True,
        ),
        stat(
            "Cameras away",
            "Cameras that are not disabled and send nothing: stalled or offline.",
            f"sum((whosthere_camera_up{{{ALL}}} == bool 0) unless on (instance, camera) whosthere_camera_state{{{ALL}, "
            f'state="disabled"}})',
            thresholds=steps((None, GREEN), (1, RED)),
        ),
        stat(
            "Broker",
            "Whether it is connected to the MQTT broker. Away: events wait in the outbox and are sent later; look at "
            "the broker, then at Events and outbox. docs/mqtt.md",
            f"min(whosthere_broker_up{{{ALL}}})",
            mappings={0: ("away", RED), 1: ("connected", GREEN)},
        ),
        stat(
            "Messages waiting",
            "Messages that the broker has not acknowledged. Some at once are normal; a number that grows is not.",
            f"sum(whosthere_outbox_depth{{{ALL}}})",
            thresholds=steps((None, GREEN), (100, YELLOW), (1000, RED)),
            graph=True,
        ),
        stat(
            "Event latency, p95",
            "From the picture that decided to the broker's acknowledgement. Above a quarter of a second: see where the "
            "time goes in Time in a stage.",
            latency,
            unit="s",
            thresholds=LATENCY,
            nothing="no events",
        ),
        stat("People enrolled", "Of the gallery in use.", f"sum(whosthere_gallery_people{{{ALL}}})", graph=True),
        stat(
            "Up since, by version",
            "How long the process has run.",
            f"time() - process_start_time_seconds{{{ALL}}} * on (instance, job) group_left (version) "
            f"whosthere_build_info{{{ALL}}}",
            unit="dtdurations",
            legend="{{version}}",
        ),
    ]


def _work() -> list[Panel]:
    stages = f"sum by (le, stage) (rate(whosthere_stage_seconds_bucket{{{ALL}}}{RATE}))"
    return [
        series(
            "New visits a minute",
            "Visits that got their identity: of somebody enrolled (named) or not (unknown). No new visit where people "
            "walk by: look at Cameras, then at Gallery and accuracy.",
            [
                query(f'60 * sum(rate(whosthere_events_total{{{ALL}, type="new", known="{known}"}}{RATE}))', word)
                for known, word in (("true", "named"), ("false", "unknown"))
            ],
            stack=True,
        ),
        series(
            "Event latency",
            "Capture of the deciding frame to the broker's acknowledgement. docs/performance.md has what to expect.",
            quantiles("whosthere_event_latency_seconds"),
            unit="s",
            limits=LATENCY,
        ),
        timeline(
            "Parts of /readyz",
            "What the service needs, but for cameras. Not ok: `curl -s localhost:8080/readyz` says why.",
            f"min by (part) (whosthere_part_ready{{{ALL}}})",
            "{{part}}",
            OK,
            size=(8, 9),
        ),
        series(
            "Frames a second, by what became of them",
            "processed: looked at. shed: left out so that the others are in time, as is right when there is more than "
            "the machine can do; dropped: a newer one came first. skipped: a model's queue was full. failed: not "
            "decodable, or the detector could not run.",
            [query(f"sum by (outcome) (rate(whosthere_frames_total{{{ALL}}}{RATE}))", "{{outcome}}")],
            stack=True,
            size=(8, 9),
        ),
        series(
            "Time in a stage, p95",
            "Where a frame's time goes. queue that grows: more work than the processors do; publish: the broker.",
            [query(f"histogram_quantile(0.95, {stages})", "{{stage}}")],
            unit="s",
            size=(8, 9),
        ),
    ]


def _costs() -> list[Panel]:
    scrape = f"scrape_duration_seconds{{{ALL}}}"
    return [
        series(
            "Processor",
            "Cores in use. At the number of cores of the machine frames are shed: fewer fps, fewer cameras, a "
            "smaller detector. docs/performance.md",
            [query(f"sum by (instance) (rate(process_cpu_seconds_total{{{ALL}}}{RATE}))", "{{instance}}")],
            size=(6, 8),
        ),
        series(
            "Memory",
            "Resident memory of the process. It levels off some minutes after the start; one that grows for days is a "
            "fault: report it.",
            [query(f"process_resident_memory_bytes{{{ALL}}}", "{{instance}}")],
            unit="bytes",
            size=(6, 8),
        ),
        series(
            "Event loop's lag",
            "How late the event loop wakes up. Above a tenth of a second everything is late.",
            quantiles("whosthere_loop_lag_seconds"),
            unit="s",
            limits=steps((None, GREEN), (0.1, ORANGE)),
            size=(6, 8),
        ),
        series(
            "Room on the data folder's disk",
            "Free, as a share. Full: events and kept visits are lost. docs/troubleshooting.md",
            [query(f"whosthere_disk_free_bytes{{{ALL}}} / whosthere_disk_size_bytes{{{ALL}}}", "{{instance}}")],
            unit="percentunit",
            most=1,
            limits=steps((None, RED), (0.05, YELLOW), (0.1, GREEN)),
            size=(6, 8),
        ),
        series(
            "HTTP requests a second, by status",
            "Answers of the API and the pages. 401 and 403: a token that is missing or too weak; 429: too many; 5xx: "
            "the log says why. docs/api.md",
            [query(f"sum by (status) (rate(whosthere_http_requests_total{{{ALL}}}{RATE}))", "{{status}}")],
            unit="reqps",
            stack=True,
            size=(8, 8),
        ),
        series(
            "Time to an HTTP answer",
            "From a request to the beginning of its answer; embeddings and enrolment take as long as their images.",
            quantiles("whosthere_http_request_seconds"),
            unit="s",
            size=(8, 8),
        ),
        series(
            "A scrape of /metrics",
            "How long Prometheus waits for /metrics. docs/performance.md has what it takes at 200 cameras.",
            [query(scrape, "{{instance}}")],
            unit="s",
            size=(8, 8),
        ),
    ]
