"""Events and outbox: what is made, what waits and why, what was lost, who else hears of it. Pure."""

from scripts.dashboards.parts import (
    ALL,
    GREEN,
    RATE,
    RED,
    YELLOW,
    Panel,
    heatmap,
    query,
    rise,
    row,
    series,
    stat,
    steps,
)


def panels() -> list[Panel]:
    return [
        *_now(),
        row("Events"),
        *_events(),
        row("Outbox and broker"),
        *_outbox(),
        row("Kept visits, and who listens over HTTP"),
        *_others(),
    ]


def _now() -> list[Panel]:
    return [
        stat(
            "Broker",
            "Whether the service is connected to it.",
            f"min(whosthere_broker_up{{{ALL}}})",
            mappings={0: ("away", RED), 1: ("connected", GREEN)},
            size=(4, 4),
        ),
        stat(
            "Messages waiting",
            "Messages that the broker has not acknowledged.",
            f"sum(whosthere_outbox_depth{{{ALL}}})",
            thresholds=steps((None, GREEN), (100, YELLOW), (1000, RED)),
            graph=True,
            size=(4, 4),
        ),
        stat(
            "Oldest of them",
            "How long the oldest message has waited. Above a minute with a broker that is there: a topic is refused.",
            f"max(whosthere_outbox_oldest_seconds{{{ALL}}})",
            unit="s",
            thresholds=steps((None, GREEN), (10, YELLOW), (60, RED)),
            graph=True,
            size=(4, 4),
        ),
        stat(
            "Refused topics",
            "Topics on which the broker takes nothing: its ACL, or a size. /readyz and the log name them. docs/mqtt.md",
            f"sum(whosthere_broker_refused_topics{{{ALL}}})",
            thresholds=steps((None, GREEN), (1, RED)),
            size=(4, 4),
        ),
        stat(
            "Of the outbox's limit",
            "How full it is: beyond 100 % the oldest updates are given up, then the oldest visits. "
            "`events.outbox_limit`",
            f"max(whosthere_outbox_depth{{{ALL}}} / whosthere_outbox_limit{{{ALL}}})",
            unit="percentunit",
            thresholds=steps((None, GREEN), (0.5, YELLOW), (0.9, RED)),
            size=(4, 4),
        ),
        stat(
            "Given up in a day",
            "Messages lost because the outbox was full, or they were too old.",
            f"sum(increase(whosthere_outbox_dropped_total{{{ALL}}}[1d]))",
            thresholds=steps((None, GREEN), (1, RED)),
            decimals=0,
            size=(4, 4),
        ),
    ]


def _events() -> list[Panel]:
    kinds = [
        query(
            f'60 * sum by (type) (rate(whosthere_events_total{{{ALL}, known="{known}"}}{RATE}))',
            f"{{{{type}}}}, {word}",
        )
        for known, word in (("true", "named"), ("false", "unknown"))
    ]
    return [
        series("Events a minute", "new, update and end of visits. docs/mqtt.md", kinds, size=(8, 8)),
        heatmap(
            "Event latency",
            "Capture of the deciding frame to the broker's acknowledgement; a broker that was away shows as a band "
            "high up.",
            "whosthere_event_latency_seconds",
            "s",
            size=(8, 8),
        ),
        series(
            "Acknowledged a second",
            "Messages that the broker took.",
            [query(f'sum(rate(whosthere_stage_seconds_count{{{ALL}, stage="publish"}}{RATE}))', "acknowledged")],
            size=(8, 8),
        ),
    ]


def _outbox() -> list[Panel]:
    return [
        series(
            "Waiting",
            "set aside: of them, those whose topic the broker refuses; the others overtake them.",
            [
                query(f"sum(whosthere_outbox_depth{{{ALL}}})", "waiting"),
                query(f"sum(whosthere_outbox_set_aside{{{ALL}}})", "set aside"),
            ],
            size=(8, 8),
        ),
        series(
            "Age of the oldest",
            "It grows by a second a second while nothing goes out, and falls to 0 when all is out.",
            [query(f"max by (instance) (whosthere_outbox_oldest_seconds{{{ALL}}})", "{{instance}}")],
            unit="s",
            limits=steps((None, GREEN), (60, RED)),
            size=(8, 8),
        ),
        series(
            "Time to an acknowledgement, p95",
            "By the broker, of one message. It grows with a broker that is far away, or busy.",
            [
                query(
                    "histogram_quantile(0.95, sum by (le) (rate(whosthere_stage_seconds_bucket"
                    f'{{{ALL}, stage="publish"}}{RATE})))',
                    "p95",
                )
            ],
            unit="s",
            size=(8, 8),
        ),
        series(
            "The broker's faults in five minutes, by code",
            "broker_unreachable: it is away; broker_login_refused: the password; broker_topic_refused: its ACL.",
            [query(rise("whosthere_broker_errors_total", "code"), "{{code}}")],
            bars=True,
            size=(8, 8),
        ),
        series(
            "Lost or damaged in five minutes",
            "given up: by the outbox, which was full. outbox_unwritable: the disk. outbox_damaged: its file was set "
            "aside, what could be read is saved. docs/reliability.md",
            [
                query(rise("whosthere_outbox_dropped_total", ""), "given up"),
                query(rise("whosthere_outbox_errors_total", "code"), "{{code}}"),
            ],
            bars=True,
            size=(8, 8),
        ),
        series(
            "Commands over MQTT in five minutes",
            "heard, or ignored and why. docs/mqtt.md",
            [query(rise("whosthere_broker_commands_total", "outcome"), "{{outcome}}")],
            bars=True,
            size=(8, 8),
        ),
    ]


def _others() -> list[Panel]:
    return [
        series(
            "Visits kept a minute",
            "Of cameras with `snapshots`. docs/kept-visits.md",
            [query(f"60 * sum(rate(whosthere_visits_kept_total{{{ALL}}}{RATE}))", "kept")],
            size=(6, 8),
        ),
        series(
            "Visits not kept in five minutes, by code",
            "Their events went out all the same. kept_visits_unwritable: the disk is full or fails; queue_full: it is "
            "too slow.",
            [query(rise("whosthere_visits_lost_total", "code"), "{{code}}")],
            bars=True,
            size=(6, 8),
        ),
        series(
            "Room of kept visits",
            "At most `events.keep_mib`; the oldest go first.",
            [query(f"sum by (instance) (whosthere_visits_bytes{{{ALL}}})", "{{instance}}")],
            unit="bytes",
            size=(6, 8),
        ),
        series(
            "Live listeners",
            "Server-Sent Events and WebSockets that are open.",
            [query(f"sum by (instance) (whosthere_http_listeners{{{ALL}}})", "{{instance}}")],
            size=(6, 8),
        ),
        series(
            "Listeners cut off in five minutes",
            "By the service: listener_too_slow, token_invalid (revoked), service_stopping.",
            [query(rise("whosthere_http_listeners_cut_total", "code"), "{{code}}")],
            bars=True,
        ),
        series(
            "Requests refused in five minutes",
            "By code; many token_invalid: somebody tries tokens, or one was revoked. docs/http.md",
            [query(rise("whosthere_http_refused_total", "code"), "{{code}}")],
            bars=True,
        ),
    ]
