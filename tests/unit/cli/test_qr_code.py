"""The page's address for the camera of a phone."""

import cv2
import numpy as np
import pytest

from malle_rt.cli.webcam import qr_code

URL = "http://192.168.1.20:8077/?token=Zk3_abcdefghij-0123456789"
# Upper and lower half of a character: whether it is light.
HALVES = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}


def test_a_phone_reads_it():
    pytest.importorskip("segno")
    lines = qr_code(URL).splitlines()
    rows = [[HALVES[each][half] for each in line] for line in lines for half in (0, 1)]
    picture = np.kron(np.array(rows, np.uint8) * 255, np.ones((8, 8), np.uint8))
    text, *_ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert text == URL
    assert max(map(len, lines)) <= 60
    assert len(lines) <= 24


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8077/?token=x", "http://[::1]:8077/", "http://localhost:1/"]
)
def test_there_is_none_for_this_machine_alone(url):
    assert qr_code(url) == ""
