"""Flood the page of a running "malle-rt webcam --web" on this machine, and see whether it still serves.

    python tools/viewer_flood.py http://127.0.0.1:8077/?token=... --half-sent 1000 --viewers 200

Opens connections that never finish their request, then as many viewers at once, and counts who was served (200), told
that there is no room (503, or a farewell) or left without an answer. Loopback addresses only, bounded in number and
time. Exit code 1 if a viewer got no answer.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import SplitResult, urlsplit

from malle_rt.live.web.address import is_loopback

MOST = 2000
PATIENCE = 10.0  # s


def half_sent(place: tuple[str, int], count: int, until: ExitStack) -> int:
    """Open connections with half a request; they stay until the stack ends. How many could be opened."""
    opened = 0
    for _ in range(count):
        with suppress(OSError):
            connection = until.enter_context(socket.create_connection(place, timeout=PATIENCE))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: flood\r\n")
            opened += 1
    return opened


def view(url: SplitResult) -> str:
    """Ask for the page as a viewer would; the status, or the kind of failure."""
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/?{url.query}")
        return str(connection.getresponse().status)
    except OSError as exc:
        return type(exc).__name__
    finally:
        connection.close()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="as webcam prints it")
    parser.add_argument("--half-sent", type=int, default=1000)
    parser.add_argument("--viewers", type=int, default=200)
    options = parser.parse_args()
    url = urlsplit(options.url)
    if not url.hostname or not url.port or not is_loopback(url.hostname):
        parser.error(
            "only an address of this machine may be flooded, such as http://127.0.0.1:8077/?token=..."
        )
    if not 0 <= options.half_sent <= MOST or not 1 <= options.viewers <= MOST:
        parser.error(f"at most {MOST} connections")
    with ExitStack() as until:
        opened = half_sent((url.hostname, url.port), options.half_sent, until)
        time.sleep(1.5)  # now the oldest of them make room
        with ThreadPoolExecutor(options.viewers) as crowd:
            answers = Counter(crowd.map(view, [url] * options.viewers))
    print(f"{opened} half-sent requests; {options.viewers} viewers: {dict(answers)}")
    return int(any(not answer.isdigit() for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
