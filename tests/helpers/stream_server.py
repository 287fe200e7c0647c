"""A program that serves a clip (H.264 and AAC in MPEG-TS) again and again at its own pace: UDP, HTTP or RTSP.

Run by ``helpers.streams`` as a process of its own, so that it can be stopped, continued and killed.
"""

from __future__ import annotations

import argparse
import os
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from clip_player import send_transport_stream
from rtsp_server import RtspHandler, authorised


class HttpHandler(BaseHTTPRequestHandler):
    """/live is the clip without end, as MPEG-TS; /file is the clip's bytes; a password where one is set."""

    def do_GET(self):
        if not authorised(self.headers.get("Authorization"), self.server.password):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
            self.end_headers()
            return
        data = self.server.clip.read_bytes() if self.path == "/file" else None
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        if data is not None:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            if data is not None:
                self.wfile.write(data)
            else:
                send_transport_stream(self.server.clip, self.wfile)
        except OSError:
            pass  # the viewer has gone

    def log_message(self, *_):
        pass


class SilentHandler(socketserver.BaseRequestHandler):
    """Takes the connection and never says a word."""

    def handle(self):
        while self.request.recv(1024):
            pass


class TrickleHandler(socketserver.BaseRequestHandler):
    """Sends a raw H.264 file, 50 pictures per second, without any timestamps."""

    def handle(self):
        for unit in self.server.clip.read_bytes().split(b"\x00\x00\x00\x01")[1:]:
            self.request.sendall(b"\x00\x00\x00\x01" + unit)
            time.sleep(0.02)


class Quiet:
    """For a server whose viewers may leave at any moment: that is no error."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class TcpServer(Quiet, socketserver.ThreadingTCPServer):
    """Whose port can be taken again at once after a kill."""

    allow_reuse_address = True
    daemon_threads = True


class HttpServer(Quiet, ThreadingHTTPServer):
    """The same for HTTP."""


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until killed, or until the time is up: a test that is killed itself leaves nothing behind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("udp", "http", "rtsp", "silent", "trickle"))
    parser.add_argument("clip", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--password", default="", help="user:password that viewers must give")
    parser.add_argument("--transport", default="any", help="what RTSP viewers may use: any, tcp, udp")
    parser.add_argument("--lifetime", type=float, default=600.0, help="seconds after which it ends itself")
    options = parser.parse_args()
    end = threading.Timer(options.lifetime, os._exit, (3,))
    end.daemon = True
    end.start()
    if options.kind == "udp":
        _say_ready()
        send_transport_stream(options.clip, f"udp://127.0.0.1:{options.port}?pkt_size=1316")
        return
    handlers = {"http": HttpHandler, "rtsp": RtspHandler, "silent": SilentHandler, "trickle": TrickleHandler}
    handler = handlers[options.kind]
    kind = HttpServer if options.kind == "http" else TcpServer
    with kind(("127.0.0.1", options.port), handler) as server:
        server.clip, server.password, server.transport = options.clip, options.password, options.transport
        _say_ready()
        server.serve_forever()


if __name__ == "__main__":
    main()
