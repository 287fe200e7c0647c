"""As much of an RTSP server (RFC 2326) as FFmpeg needs to play a clip from it, over TCP or UDP."""

from __future__ import annotations

import base64
import socket
import socketserver
import threading

from clip_player import pieces
from rtp import AUDIO_TYPE, VIDEO_TYPE, RtpTrack, aac_payloads, h264_payloads, session_description

SAMPLE_RATE, CHANNELS = 48000, 2
_CLOCKS = {"video": 90000, "audio": SAMPLE_RATE}


class RtspHandler(socketserver.StreamRequestHandler):
    """One viewer: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN."""

    def setup(self):
        super().setup()
        self.lock = threading.Lock()
        self.senders = {}
        self.playing = True

    def handle(self):
        while (request := self._request()) is not None:
            method, url, headers = request
            answer = {
                "OPTIONS": self._options,
                "DESCRIBE": self._describe,
                "SETUP": self._set_up,
                "PLAY": self._play,
            }.get(method, self._options)
            if not authorised(headers.get("authorization"), self.server.password):
                self._reply(headers, "401 Unauthorized", {"WWW-Authenticate": 'Basic realm="test"'})
                continue
            answer(url, headers)
            if method == "TEARDOWN":
                return

    def finish(self):
        self.playing = False

    def _request(self):
        """The next request; what the viewer sends as RTCP in between is skipped. None at the end."""
        try:
            while (first := self.rfile.read(1)) == b"$":
                head = self.rfile.read(3)
                self.rfile.read(int.from_bytes(head[1:], "big"))
            line = (first + self.rfile.readline()).decode()
            headers = {}
            while row := self.rfile.readline().decode().strip():
                name, _, value = row.partition(":")
                headers[name.lower()] = value.strip()
        except OSError:
            return None
        method, _, rest = line.partition(" ")
        return (method, rest.split(" ")[0], headers) if method.strip() else None

    def _reply(self, request, status="200 OK", headers=None, body=""):
        lines = [f"RTSP/1.0 {status}", f"CSeq: {request.get('cseq', '0')}", "Session: 1"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        with self.lock:
            self.request.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def _options(self, _, headers):
        self._reply(headers, headers={"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"})

    def _describe(self, url, headers):
        body = session_description(sample_rate=SAMPLE_RATE, channels=CHANNELS)
        self._reply(
            headers,
            headers={"Content-Base": url.rstrip("/") + "/", "Content-Type": "application/sdp"},
            body=body,
        )

    def _set_up(self, url, headers):
        transport = headers["transport"]
        over_tcp = "RTP/AVP/TCP" in transport
        if self.server.transport not in ("any", "tcp" if over_tcp else "udp"):
            self._reply(headers, "461 Unsupported Transport")
            return
        number = int(url.rstrip("/")[-1])
        if over_tcp:
            self.senders[number] = lambda data: self._interleave(2 * number, data)
        else:
            self.senders[number] = self._to_port(transport)
            transport += ";server_port=6970-6971"
        self._reply(headers, headers={"Transport": transport})

    def _interleave(self, channel, data):
        with self.lock:
            self.request.sendall(b"$" + bytes((channel,)) + len(data).to_bytes(2, "big") + data)

    def _to_port(self, transport):
        port = int(transport.partition("client_port=")[2].split("-")[0])
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        return lambda data: sender.sendto(data, (self.client_address[0], port))

    def _play(self, url, headers):
        info = ",".join(f"url={url.rstrip('/')}/track{n};seq=0;rtptime=0" for n in self.senders)
        self._reply(headers, headers={"Range": "npt=0.000-", "RTP-Info": info})
        threading.Thread(target=self._send, daemon=True).start()

    def _send(self):
        tracks = {"video": (0, RtpTrack(VIDEO_TYPE, 1)), "audio": (1, RtpTrack(AUDIO_TYPE, 2))}
        payloads = {"video": h264_payloads, "audio": aac_payloads}
        try:
            for piece in pieces(self.server.clip):
                number, track = tracks[piece.kind]
                stamp = round(piece.pts * _CLOCKS[piece.kind])
                for data in track.packets(payloads[piece.kind](piece.data), stamp):
                    if self.playing and number in self.senders:
                        self.senders[number](data)
                if not self.playing:
                    return
        except OSError:
            return  # the viewer has gone


def authorised(header: str | None, password: str) -> bool:
    if not password:
        return True
    return header == "Basic " + base64.b64encode(password.encode()).decode()
