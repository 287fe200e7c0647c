"""What is at an address once: a file on a server, bytes sent by UDP."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from helpers.streams import free_port

_NOTHING = b"\x47\x1f\xff\x10" + b"\xff" * 184  # a packet of MPEG-TS that holds nothing


@contextmanager
def served(path: Path, *, with_size: bool) -> Iterator[str]:
    """The address of a file on a server that takes ranges, or of a stream that does not say how long it is."""
    data = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0" if with_size else "HTTP/1.1"

        def do_GET(self):
            wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
            begin = int(wanted[1]) if wanted and with_size else 0
            if begin >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if wanted and with_size else 200)
            if with_size:
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(data) - begin))
                self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
            else:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            body = data[begin:] if with_size else b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
            with suppress(OSError):  # the reader may have gone
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/in.ts"
        server.shutdown()
        thread.join(10)


@contextmanager
def sent(data: bytes) -> Iterator[str]:
    """The address that MPEG-TS is sent to by UDP, at once and once, as soon as somebody listens."""
    port = free_port(datagrams=True)
    over = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            heard = 0
            while heard < 3 and not over.is_set():  # that nobody listens, the system says when more is sent
                try:
                    sender.send(_NOTHING)
                    heard += 1
                except ConnectionRefusedError:
                    heard = 0
                time.sleep(0.02)
            for at in range(0, len(data), 1316):
                sender.send(data[at : at + 1316])
                if at % (1316 * 16) == 0:
                    time.sleep(0.002)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield f"udp://127.0.0.1:{port}"
    finally:
        over.set()
        thread.join(10)
