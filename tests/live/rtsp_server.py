"""An RTSP server for tests: clips in, cameras out, on 127.0.0.1; prints READY when it listens.

On SIGUSR1 it prints how many sessions it holds.

Run by Debian's own /usr/bin/python3, whose GStreamer bindings no virtual environment has. A clip's H.264 or
H.265 access units are read once and sent as they are, in real time, for ever, with timestamps that go on.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402 (versions must be required first)

MAX_QUEUED_BYTES = 200_000


class Clip:
    """One clip's access units in decode order, and how long they last, all in ns from the first."""

    def __init__(self, path):
        data = Path(path).read_bytes()
        self.codec = "h265" if b"hvc1" in data or b"hev1" in data else "h264"
        pipeline = Gst.parse_launch(
            f"filesrc location={path} ! qtdemux name=d d.video_0 ! {self.codec}parse config-interval=-1 "
            f"! video/x-{self.codec},stream-format=byte-stream,alignment=au ! appsink name=sink sync=false"
        )
        sink = pipeline.get_by_name("sink")
        pipeline.set_state(Gst.State.PLAYING)
        self.units = []
        while sample := sink.emit("pull-sample"):
            buffer = sample.get_buffer()
            self.units.append((buffer.extract_dup(0, buffer.get_size()), buffer.dts, buffer.pts))
            self.caps = sample.get_caps()
        pipeline.set_state(Gst.State.NULL)
        if len(self.units) < 2:
            sys.exit(f"{path}: no video to serve")
        first, last = self.units[0][1], self.units[-1][1]
        self.units = [(data, dts - first, pts - first) for data, dts, pts in self.units]
        self.lap = (last - first) * len(self.units) // (len(self.units) - 1)


class Feeder:
    """Pushes a clip round and round into one client's appsrc, or falls silent after a while."""

    def __init__(self, clip, silent_after_s):
        self.clip = clip
        self.silent_after = None if silent_after_s is None else int(silent_after_s * Gst.SECOND)
        self.next = 0

    def need_data(self, source, _length):
        lap, index = divmod(self.next, len(self.clip.units))
        data, dts, pts = self.clip.units[index]
        start = lap * self.clip.lap
        if self.silent_after is not None and start + dts >= self.silent_after:
            return
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.dts, buffer.pts = start + dts, start + pts
        self.next += 1
        source.emit("push-buffer", buffer)


class ClipFactory(GstRtspServer.RTSPMediaFactory):
    """Every client gets the clip from its start, so that each connection begins with a keyframe."""

    def __init__(self, clip, silent_after_s):
        super().__init__()
        self.clip = clip
        self.silent_after_s = silent_after_s
        self.set_launch(
            f"( appsrc name=src is-live=true format=time max-bytes={MAX_QUEUED_BYTES} ! {clip.codec}parse "
            f"! rtp{clip.codec}pay name=pay0 pt=96 config-interval=-1 )"
        )

    def do_configure(self, media):
        GstRtspServer.RTSPMediaFactory.do_configure(self, media)
        source = media.get_element().get_by_name("src")
        source.set_property("caps", self.clip.caps)
        feeder = Feeder(self.clip, self.silent_after_s)
        source.connect("need-data", feeder.need_data)


def guard(server, factories, login, certificate):
    """login: `user:password`, or "" for everybody. certificate: a PEM file with its key, or None without TLS."""
    user, _, password = (login or "anybody:").partition(":")
    auth = GstRtspServer.RTSPAuth()
    if certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(certificate))
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", user)
    if login:
        auth.set_supported_methods(2)  # GST_RTSP_AUTH_DIGEST
        auth.add_digest(user, password, token)
    else:
        auth.set_default_token(token)
    server.set_auth(auth)
    for factory in factories:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role(user, "media.factory.access", True)
        permissions.add_permission_for_role(user, "media.factory.construct", True)
        factory.set_permissions(permissions)


def tell_sessions(server):
    sys.stdout.write(f"{server.get_session_pool().get_n_sessions()}\n")
    sys.stdout.flush()
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", required=True)
    parser.add_argument("--clip", action="append", default=[], metavar="MOUNT=MP4")
    parser.add_argument("--stalling", action="append", default=[], metavar="MOUNT=MP4@SECONDS")
    parser.add_argument("--audio", action="append", default=[], metavar="MOUNT")
    parser.add_argument("--certificate", metavar="PEM")
    args = parser.parse_args()
    Gst.init(None)

    factories = {}
    for mount, path in (spec.split("=", 1) for spec in args.clip):
        factories[mount] = ClipFactory(Clip(path), None)
    for mount, spec in (spec.split("=", 1) for spec in args.stalling):
        path, seconds = spec.rsplit("@", 1)
        factories[mount] = ClipFactory(Clip(path), float(seconds))
    for mount in args.audio:
        factories[mount] = GstRtspServer.RTSPMediaFactory()
        factories[mount].set_launch("( audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 )")

    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    for mount, factory in factories.items():
        server.get_mount_points().add_factory(f"/{mount}", factory)
    login = os.environ.get("RTSP_SERVER_LOGIN", "")  # not an argument: `ps` shows those
    if login or args.certificate:
        guard(server, factories.values(), login, args.certificate)
    loop = GLib.MainLoop()
    if server.attach(None) == 0:
        sys.exit(f"port {args.port} is in use")
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, loop.quit)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, tell_sessions, server)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    loop.run()


if __name__ == "__main__":
    main()
