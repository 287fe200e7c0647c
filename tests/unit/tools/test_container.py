"""What the container is made of, without a builder, and its health check."""

import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import container_health
import pytest

ROOT = Path(container_health.__file__).parents[1]
FILE = ROOT / "Dockerfile"


def test_it_runs_as_no_root_and_copies_what_is_there():
    text = FILE.read_text()
    last = text.split("FROM ")[-1]
    assert re.search(r"^USER malle$", last, re.MULTILINE)
    assert last.index("USER malle") < last.index("ENTRYPOINT")
    for source in re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE):
        assert (ROOT / source).exists(), source
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not {"malle_rt", "engines", "docs", "setup.py", "setup.cfg", "README.md", "tools"} & set(ignored)


@pytest.mark.slow
@pytest.mark.skipif(
    "MALLE_CONTAINER" not in os.environ, reason="MALLE_CONTAINER=FOLDER builds it, in half an hour"
)
def test_it_is_built_to_its_end_and_does_its_work():
    done = subprocess.run(
        ["bash", "tools/container_try.sh", os.environ["MALLE_CONTAINER"]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.endswith("container: ok\n"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "url"),
    [
        (["malle-rt", "transcode", "a.mp4"], None),
        (["malle-rt", "webcam", "--web", "0.0.0.0:9000", "--no-window"], "http://127.0.0.1:9000/"),
        (["malle-rt", "webcam", "--web=0.0.0.0:9001"], "http://127.0.0.1:9001/"),
        (["malle-rt", "webcam", "--web", "--no-window"], "http://127.0.0.1:8077/"),
        (["malle-rt", "webcam", "--web"], "http://127.0.0.1:8077/"),
    ],
)
def test_the_page_that_is_asked_is_the_one_of_the_command(words, url):
    assert container_health.page_of(words) == url


@pytest.mark.parametrize(("status", "code"), [(200, 0), (403, 0), (500, 1)])
def test_health_is_an_answer(tmp_path, status, code):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        line = tmp_path / "cmdline"
        line.write_bytes(b"malle-rt\0webcam\0--web\0" + f"0.0.0.0:{server.server_port}".encode() + b"\0")
        assert container_health.main(line) == code
        serving.join()
    assert container_health.main(line) == 1, "nobody is there any more"
