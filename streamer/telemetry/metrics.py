"""Every Prometheus object of the service, one registry per Metrics object, each unit in its name.

Thread-safe (prometheus_client locks). No person, track or URL is ever a label.
"""

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, Summary

from streamer import __version__
from streamer.telemetry.exposition import Exposition

if TYPE_CHECKING:  # commands that read no stream do without
    from streamer.ingest.decode_gate.gate import GateReport
    from streamer.ingest.decode_gate.habits import Watch

_STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LATENCY_BUCKETS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_NAMING_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
_RERANK_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1)
_CANDIDATE_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_REQUEST_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_MARGIN_BUCKETS = (-0.4, -0.3, -0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
STAGES = ("decode", "queue", "detect", "align", "embed", "match", "publish")


class Metrics:
    """Names and labels as docs/metrics.md lists them; `registry` is what /metrics shows."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.frames = Counter("whosthere_frames_total", "Sampled frames by fate", ["camera", "outcome"], registry=r)
        self.gate_seconds = Counter(
            "whosthere_gate_seconds_total",
            "Time that a gate was open or closed",
            ["camera", "gate", "state"],
            registry=r,
        )
        self.packets = Counter(
            "whosthere_packets_total",
            "Encoded pictures of cameras that may sleep, by fate",
            ["camera", "fate"],
            registry=r,
        )
        self.camera_watch = Gauge(
            "whosthere_camera_watch",
            "1 for how its stream is watched while nothing moves",
            ["camera", "way", "reason"],
            registry=r,
        )
        self._camera_watches: dict[str, Watch] = {}
        self.shed = Counter(
            "whosthere_shed_total", "What was left out to keep event_goal_ms", ["camera", "what", "reason"], registry=r
        )
        self.decode_hwaccel = Gauge(
            "whosthere_decode_hwaccel", "1 for what decodes its pictures", ["camera", "used"], registry=r
        )
        self.camera_up = Gauge("whosthere_camera_up", "1 while frames arrive", ["camera"], registry=r)
        self.camera_state = Gauge(
            "whosthere_camera_state", "1 for the state it is in", ["camera", "state", "reason"], registry=r
        )
        self._camera_states: dict[str, tuple[str, str]] = {}
        self.camera_reconnects = Counter(
            "whosthere_camera_reconnects_total", "Attempts to open again", ["camera"], registry=r
        )
        self.camera_errors = Counter(
            "whosthere_camera_errors_total", "Faults by stable code", ["camera", "code"], registry=r
        )
        self.publishers = Gauge("whosthere_publishers", "1 while somebody publishes to it", ["camera"], registry=r)
        self.ingest_bytes = Counter(
            "whosthere_ingest_bytes_total", "Received of publishers, without the network's own", ["camera"], registry=r
        )
        self.ingest_packets = Counter(
            "whosthere_ingest_packets_total", "Of publishers' video, by fate", ["camera", "outcome"], registry=r
        )
        self.ingest_refused = Counter(
            "whosthere_ingest_refused_total", "Publishers that were refused, by stable code", ["code"], registry=r
        )
        self.camera_trouble = Gauge(
            "whosthere_camera_trouble",
            "1 while its pictures arrive and can't be used",
            ["camera", "reason"],
            registry=r,
        )
        self.viewers = Gauge("whosthere_viewers", "Browsers that look at a camera", ["camera"], registry=r)
        self.view_frames = Counter(
            "whosthere_view_frames_total", "Frames for viewers by fate", ["camera", "outcome"], registry=r
        )
        self.stage = Histogram(
            "whosthere_stage_seconds", "Time in a stage", ["stage"], buckets=_STAGE_BUCKETS, registry=r
        )
        # Looked up once: labels() takes a lock and a dictionary for each of a frame's stages.
        self.stage_seconds = {name: self.stage.labels(stage=name) for name in STAGES}
        self.event_latency = Histogram(
            "whosthere_event_latency_seconds",
            "Capture of the deciding frame to the broker's acknowledgement (new and update)",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.time_to_name = Histogram(
            "whosthere_time_to_name_seconds",
            "First sight to the deciding frame of a visit's identity",
            buckets=_NAMING_BUCKETS,
            registry=r,
        )
        self.match_margin = Histogram(
            "whosthere_match_margin",
            "Similarity of a visit's first verdict over the threshold; negative where nobody was named",
            buckets=_MARGIN_BUCKETS,
            registry=r,
        )
        self.faces_detected = Counter("whosthere_faces_detected_total", "Faces found", ["camera"], registry=r)
        self.faces_outside = Counter(
            "whosthere_faces_outside_total", "Faces found under a mask or in no region", ["camera"], registry=r
        )
        self.face_quality = Summary("whosthere_face_quality", "Quality of the faces found", ["camera"], registry=r)
        self.embeddings = Counter("whosthere_embeddings_total", "Faces embedded", ["model"], registry=r)
        self.embeddings_skipped = Counter(
            "whosthere_embeddings_skipped_total", "Faces not embedded: the queue was full", ["camera"], registry=r
        )
        self.faces_rejected = Counter(
            "whosthere_faces_rejected_total", "Faces without a usable embedding", ["model", "reason"], registry=r
        )
        self.batch_size = Histogram(
            "whosthere_batch_size", "Items a run", ["model"], buckets=_BATCH_BUCKETS, registry=r
        )
        self.model_switches = Counter(
            "whosthere_model_switches_total", "Models or places exchanged, by reason", ["reason"], registry=r
        )
        self.model_troubles = Counter(
            "whosthere_model_troubles_total",
            "Runs and loads that failed at a place, by stable code",
            ["model", "device", "code"],
            registry=r,
        )
        self.vram_free = Gauge("whosthere_vram_free_bytes", "Free on all GPUs; 0 where there is none", registry=r)
        self.vram_reserved = Gauge(
            "whosthere_vram_reserved_bytes", "Held by a model on GPUs, or promised to it", ["model"], registry=r
        )
        self.gallery_uncovered = Gauge(
            "whosthere_gallery_uncovered", "People with photos, but no template of a model", ["model"], registry=r
        )
        self.queue_depth = Gauge("whosthere_queue_depth", "Items waiting", ["queue"], registry=r)
        self.events = Counter("whosthere_events_total", "Identity events made", ["type", "known"], registry=r)
        self.outbox_depth = Gauge("whosthere_outbox_depth", "Messages that wait for the broker", registry=r)
        self.outbox_limit = Gauge("whosthere_outbox_limit", "Messages that may wait at most", registry=r)
        self.outbox_oldest = Gauge("whosthere_outbox_oldest_seconds", "Age of the oldest of them", registry=r)
        self.outbox_dropped = Counter("whosthere_outbox_dropped_total", "Messages given up", registry=r)
        self.outbox_errors = Counter(
            "whosthere_outbox_errors_total", "Failed writes by stable code", ["code"], registry=r
        )
        self.outbox_set_aside = Gauge(
            "whosthere_outbox_set_aside", "Messages that wait because the broker refuses a topic", registry=r
        )
        self.visits_kept = Counter("whosthere_visits_kept_total", "Visits kept with their pictures", registry=r)
        self.visits_lost = Counter(
            "whosthere_visits_lost_total", "Visits that should have been kept, by stable code", ["code"], registry=r
        )
        self.visits_bytes = Gauge("whosthere_visits_bytes", "Room that kept visits take", registry=r)
        self.broker_up = Gauge("whosthere_broker_up", "1 while connected to the broker", registry=r)
        self.broker_errors = Counter("whosthere_broker_errors_total", "Faults by stable code", ["code"], registry=r)
        self.broker_refused_topics = Gauge(
            "whosthere_broker_refused_topics", "Topics that the broker takes nothing on", registry=r
        )
        self.home_assistant_devices = Gauge(
            "whosthere_home_assistant_devices", "Devices that Home Assistant is told of", registry=r
        )
        self.home_assistant_births = Counter(
            "whosthere_home_assistant_births_total", "Starts of Home Assistant that were heard of", registry=r
        )
        self.broker_commands = Counter(
            "whosthere_broker_commands_total", "Commands over MQTT by fate", ["outcome"], registry=r
        )
        self.model_active = Gauge("whosthere_model_active", "1 for a loaded model", ["model", "device"], registry=r)
        self.model_fallback = Gauge(
            "whosthere_model_fallback",
            "1 for a model on the CPU where a GPU was tried first",
            ["model", "reason"],
            registry=r,
        )
        self.model_healthy = Gauge("whosthere_model_healthy", "0 while its answers are useless", ["model"], registry=r)
        self.gallery_people = Gauge("whosthere_gallery_people", "People enrolled", registry=r)
        self.gallery_calibration = Gauge(
            "whosthere_gallery_calibration", "1 for how the space's calibration stands", ["space", "state"], registry=r
        )
        self.gallery_expected_fpir = Gauge(
            "whosthere_gallery_expected_fpir",
            "Share of strangers that would be named now; NaN where nobody can tell",
            ["space"],
            registry=r,
        )
        self.classifier_people = Gauge(
            "whosthere_classifier_people", "People whom the trained classifier names", registry=r
        )
        self.gallery_templates = Gauge("whosthere_gallery_templates", "Templates by space", ["model"], registry=r)
        self.rerank_seconds = Histogram(
            "whosthere_rerank_seconds", "Re-ranking of one face", buckets=_RERANK_BUCKETS, registry=r
        )
        self.rerank_candidates = Histogram(
            "whosthere_rerank_candidates", "Templates that it was held against", buckets=_CANDIDATE_BUCKETS, registry=r
        )
        self.rerank_errors = Counter(
            "whosthere_rerank_errors_total",
            "Calls that gallery.rerank_library failed at, by code",
            ["code"],
            registry=r,
        )
        self.http_requests = Counter(
            "whosthere_http_requests_total", "HTTP requests by their answer", ["status"], registry=r
        )
        self.http_request_seconds = Histogram(
            "whosthere_http_request_seconds",
            "From a request to the beginning of its answer",
            buckets=_REQUEST_BUCKETS,
            registry=r,
        )
        self.http_refused = Counter(
            "whosthere_http_refused_total", "Requests that were not let in, by stable code", ["code"], registry=r
        )
        self.http_listeners = Gauge(
            "whosthere_http_listeners", "Live streams (SSE, WebSocket) that are open", registry=r
        )
        self.http_listeners_cut = Counter(
            "whosthere_http_listeners_cut_total",
            "Live streams that the service ended, by stable code",
            ["code"],
            registry=r,
        )
        self.webrtc_sessions = Gauge(
            "whosthere_webrtc_sessions", "Peers that publish (whip) or watch (whep)", ["kind"], registry=r
        )
        self.part_ready = Gauge("whosthere_part_ready", "1 for a part of /readyz that is ok", ["part"], registry=r)
        self.certificate_expiry = Gauge(
            "whosthere_certificate_expiry_timestamp_seconds", "When the certificate ends", ["use"], registry=r
        )
        self.disk_free = Gauge("whosthere_disk_free_bytes", "Free for the data folder", registry=r)
        self.disk_size = Gauge("whosthere_disk_size_bytes", "Of the data folder's file system", registry=r)
        self.clock_steps = Counter("whosthere_clock_steps_total", "How often the system's clock was set", registry=r)
        self.loop_lag = Histogram(
            "whosthere_loop_lag_seconds", "How late the event loop wakes up", buckets=_LAG_BUCKETS, registry=r
        )
        self.build_info = Gauge("whosthere_build_info", "Always 1", ["version"], registry=r)
        self.build_info.labels(version=__version__).set(1)
        self.process = ProcessCollector(registry=r)
        # Rules ask how much a counter rose, and of one that begins at 1 Prometheus sees no rise: these begin at 0, and
        # so do those by code, where they are counted.
        for kind in ("new", "update", "end"):
            for known in ("true", "false"):
                self.events.labels(type=kind, known=known)
        self._exposition = Exposition(one for one in vars(self).values() if hasattr(one, "collect") and one is not r)

    def text(self) -> bytes:
        """What /metrics shows. Reads a few files of /proc; takes milliseconds where there are hundreds of cameras."""
        return self._exposition.text()

    def show_camera_state(self, camera: str, state: str, reason: str) -> None:
        """It is so now, and not as it was: the other states have no series, or 200 cameras would have a thousand."""
        before = self._camera_states.get(camera)
        self._camera_states[camera] = (state, reason)
        self.camera_state.labels(camera, state, reason).set(1)
        if before is not None and before != (state, reason):
            self.camera_state.remove(camera, *before)

    def show_gate(self, camera: str, report: "GateReport") -> None:
        """What its gate before the decoder did since the last report, and how the stream is watched now."""
        watch, before = report.watch, self._camera_watches.get(camera)
        if watch != before:
            self._camera_watches[camera] = watch
            self.camera_watch.labels(camera, watch.way, watch.reason).set(1)
            if before is not None:
                self.camera_watch.remove(camera, before.way, before.reason)
        self.gate_seconds.labels(camera, "decoder", "open").inc(report.open_s)
        self.gate_seconds.labels(camera, "decoder", "closed").inc(report.closed_s)
        for fate in ("decoded", "kept", "caught_up", "skipped", "late"):
            self.packets.labels(camera, fate).inc(getattr(report, fate))

    def forget_camera(self, camera: str) -> None:
        """A camera that is removed has no series any more."""
        self._camera_states.pop(camera, None)
        self._camera_watches.pop(camera, None)
        for metric in vars(self).values():
            if "camera" in getattr(metric, "_labelnames", ()):
                metric.remove_by_labels({"camera": camera})
