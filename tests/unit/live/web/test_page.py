"""The page in a real browser: what is seen, what can be done with mouse, finger and keyboard, and who may."""

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from helpers.browser import open_browser
from helpers.web_session import flat, shot_of
from livebench.page import END, ENTER, ESCAPE, HOME, LEFT, RIGHT, SPACE, TAB

from malle_rt.live.view.keys import key_help
from malle_rt.live.web import WebAddress, WebServer

pytestmark = pytest.mark.slow  # each opens a browser

STATE = "return document.getElementById('state').dataset.state"
FIGURES = "return document.getElementById('figures').innerText.replaceAll('\\n', ' ')"
NOW = "return document.getElementById('divider').ariaValueNow"
# A copy of the drawn picture to read from, so that the page's own canvas stays as fast as it is for a user.
COPY = """
    const canvas = document.getElementById("canvas");
    window.copy ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    Object.assign(copy.canvas, { width: canvas.width, height: canvas.height });
    copy.drawImage(canvas, 0, 0);
"""
# Luma of a point of the picture, by its share of the width.
LUMA = f"""{COPY}
    return copy.getImageData(Math.round(arguments[0] * (canvas.width - 1)), canvas.height / 2, 1, 1).data[1];
"""
# The index that SyntheticSource wrote into the top rows, as 16 blocks.
INDEX = f"""{COPY}
    const {{ data }} = copy.getImageData(0, 4, canvas.width, 1);
    let index = 0;
    for (let bit = 0; bit < 16; bit++) {{
      const middle = Math.floor(((bit + 0.5) * canvas.width) / 16);
      index = index * 2 + (data[middle * 4 + 1] > 128 ? 1 : 0);
    }}
    return index;
"""
# Smallest contrast (WCAG 2) between a text and the nearest opaque background behind it.
CONTRAST = """
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => {
      const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      const [r, g, b] = parse(color).map((c) => linear(c / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      for (let e = element; e; e = e.parentElement) {
        const color = getComputedStyle(e).backgroundColor;
        if ((parse(color)[3] ?? 1) >= 0.8) return color;
      }
      return "rgb(255, 255, 255)";
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
      const [a, b] = [getComputedStyle(element).color, behind(element)].map(light);
      found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.data.trim()]);
    }
    return found.sort((a, b) => a[0] - b[0]).slice(0, 3);
"""


@pytest.fixture
def browser(tmp_path):
    with open_browser(tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
def page(browser, server, desk):
    """The page with a still picture: raw is dark, clean is bright."""
    desk.latest.put(shot_of(flat(60), flat(180)))
    browser.open(server.url)
    browser.wait(LUMA, 0.9, until=lambda luma: abs(luma - 180) < 8)
    browser.wait(STATE, until=lambda state: state == "live")
    yield browser
    assert browser.complaints() == []


def focus(browser, css):
    """Reach an element by the tabulator alone."""
    for _ in range(20):
        browser.type(TAB)
        if browser.run("return document.activeElement.matches(arguments[0])", css):
            return
    pytest.fail(f"{css} cannot be reached with the keyboard")


def raw_until(browser, share):
    """Whether the picture is raw left of this share of its width and clean right of it."""
    return browser.run(LUMA, share - 0.02) < 70 and browser.run(LUMA, share + 0.02) > 170


def test_the_picture_moves(browser, server, camera):
    browser.open(server.url)
    browser.click("input[value=clean]")
    seen = set()
    browser.wait(INDEX, until=lambda index: seen.add(index) or len(seen) >= 8)
    assert max(seen) < 24
    measured = re.compile(r"This page \d+\.\d fps .* To this page p50 / p95 \d+ / \d+ ms")
    browser.wait(FIGURES, until=measured.search)
    assert browser.complaints() == []


def test_figures_follow_the_session(page, desk):
    assert "Backend openvino rt-s int8 Picture \N{EN DASH} Camera 30.0 fps Output 29.5 fps" in page.run(
        FIGURES
    )
    desk.base = replace(desk.base, dropped=4321, outputs=("pushed to rtsp://nas/live",))
    page.wait(FIGURES, until=lambda text: "Dropped 4321" in text and "rtsp://nas/live" in text)


def test_the_divider_follows_the_keys(page):
    assert raw_until(page, 0.5)
    focus(page, "#divider")
    page.type(RIGHT * 5)
    assert page.run(NOW) == "60" and raw_until(page, 0.6)
    page.type(LEFT * 15)
    assert page.run(NOW) == "30" and raw_until(page, 0.3)
    page.type(HOME)
    assert page.run(NOW) == "0" and page.run(LUMA, 0.01) > 170
    page.type(END)
    assert page.run(NOW) == "100" and page.run(LUMA, 0.99) < 70


@pytest.mark.parametrize("pointer", ["mouse", "touch"])
def test_the_divider_follows_the_pointer(page, pointer):
    page.drag("#canvas", 0.25, 0.4, 0.75, pointer=pointer)
    page.wait(NOW, until=lambda now: now == "75")
    assert raw_until(page, 0.75)


def test_the_views(page):
    page.click("input[value=raw]")
    page.wait(LUMA, 0.9, until=lambda luma: luma < 70)
    page.click("input[value=side]")
    page.wait("return document.getElementById('canvas').width", until=lambda width: width == 640)
    page.wait(LUMA, 0.9, until=lambda luma: luma > 170)
    assert page.run(LUMA, 0.1) < 70
    page.click("input[value=clean]")
    page.wait(LUMA, 0.1, until=lambda luma: luma > 170)
    assert not page.run("return document.getElementById('divider').checkVisibility()")


def test_the_strength_slider_changes_the_session_and_ends_automatic(page, desk):
    focus(page, "#strength")
    page.type(END)
    page.wait("return document.getElementById('strength-value').value", until=lambda text: text == "75.0")
    wait_until(lambda: desk.controls.tuning.strength == 75)
    page.wait("return !document.getElementById('automatic').checked")
    page.click("#automatic")
    wait_until(lambda: desk.controls.tuning.strength == "auto")
    page.wait("return document.getElementById('strength-value').value", until=lambda text: text == "12.0")


def test_a_change_elsewhere_shows_on_the_page(page, desk):
    desk.controls.set_strength(33)
    desk.controls.set_mix(0.4)
    page.wait("return document.getElementById('strength').value", until=lambda value: value == "33")
    page.wait("return document.getElementById('mix-value').value", until=lambda text: text == "40 %")
    page.wait("return !document.getElementById('automatic').checked")
    assert page.run("return document.getElementById('estimated').textContent") == "Estimated noise 12.5"


def test_everything_works_with_the_keyboard_alone(page, desk):
    focus(page, "input[name=view]")
    page.type(RIGHT * 3)
    page.wait(LUMA, 0.1, until=lambda luma: luma > 170)
    focus(page, "#snapshot")
    page.type(ENTER)
    wait_until(lambda: len(desk.snapshots) == 1)
    page.wait("return document.getElementById('downloads').checkVisibility()")
    focus(page, "#record")
    page.type(SPACE)
    page.wait("return document.getElementById('record-text').textContent.startsWith('Stop 0:0')")
    page.type(SPACE)
    page.wait("return document.getElementById('record-text').textContent === 'Record'")
    focus(page, "#automatic")
    page.type(SPACE)
    wait_until(lambda: desk.controls.tuning.strength == 12)
    focus(page, "#mix")
    page.type(HOME)
    wait_until(lambda: desk.controls.tuning.mix == 0)


def test_the_keys_are_those_of_the_window(page, desk):
    shown = page.run(
        "return [...document.querySelectorAll('#help-keys div')].map(e => [...e.children].map(c => c.textContent))"
    )
    rows = dict(map(tuple, shown))
    ours = {
        keys.replace("Up, Down, ", ""): does
        for keys, does in key_help()
        if "Left" not in keys and "q" not in keys
    }
    assert rows == ours
    page.type("?")
    page.wait("return document.getElementById('help').open")
    page.type("h")
    page.wait("return !document.getElementById('help').open")
    page.type("r")
    page.wait(LUMA, 0.9, until=lambda luma: luma < 70)
    page.type("C")
    page.wait(LUMA, 0.1, until=lambda luma: luma > 170)
    page.type("b")
    page.wait("return document.getElementById('canvas').width", until=lambda width: width == 640)
    page.type("s")
    page.wait("return document.getElementById('canvas').width", until=lambda width: width == 320)
    page.type("++-")
    wait_until(lambda: desk.controls.tuning.strength == 13)
    page.type("a")
    wait_until(lambda: desk.controls.tuning.strength == "auto")
    page.type("nnm")
    wait_until(lambda: desk.controls.tuning.mix == 0.9)
    page.type("z")
    wait_until(lambda: desk.controls.tuning.scale == "3/4")
    page.wait("return document.getElementById('scale').value", until=lambda value: value == "3/4")
    page.type("p")
    wait_until(lambda: len(desk.snapshots) == 1)
    page.type("v")
    page.wait("return document.getElementById('record-text').textContent.startsWith('Stop')")
    page.type("i")
    assert not page.run("return document.getElementById('figures').checkVisibility()")
    page.type("i")
    page.click("#keys")
    page.click("#keys-on")
    page.type(ESCAPE)
    page.type("r")
    assert page.run("return document.getElementById('stage').dataset.view") == "split"


def test_space_freezes_the_picture(browser, server, camera):
    browser.open(server.url)
    browser.wait(STATE, until=lambda state: state == "live")
    browser.click("input[value=clean]")
    browser.run("document.activeElement.blur()")
    seen = set()
    browser.wait(INDEX, until=lambda index: seen.add(index) or len(seen) >= 3)
    browser.type(SPACE)
    time.sleep(0.3)
    still = browser.run(INDEX)
    time.sleep(0.4)
    assert browser.run(INDEX) == still
    assert "Frozen" in browser.run("return document.getElementById('notice').textContent")
    browser.type(SPACE)
    browser.wait(INDEX, until=lambda index: index != still)
    browser.type(SPACE)
    time.sleep(0.3)
    browser.type("r")  # another view needs another picture
    seen.clear()
    browser.wait(INDEX, until=lambda index: seen.add(index) or len(seen) >= 3)
    assert browser.complaints() == []


def test_the_picture_fills_the_screen(page):
    page.type("f")
    page.wait("return document.fullscreenElement?.id", until=lambda name: name == "screen")
    page.wait(
        "const b = document.getElementById('stage').getBoundingClientRect();"
        "return Math.max(b.width / innerWidth, b.height / innerHeight)",
        until=lambda share: share > 0.99,
    )
    page.drag("#canvas", 0.25, 0.75)
    page.wait(NOW, until=lambda now: now == "75")
    page.type("f")
    page.wait("return !document.fullscreenElement")
    page.click("#fill")
    page.wait("return !!document.fullscreenElement")


def test_recordings_can_be_downloaded(page, desk, tmp_path):
    (tmp_path / "50 % öl#1.mkv").write_bytes(b"moving pictures")
    desk.recordings = [tmp_path / "50 % öl#1.mkv"]
    found = page.wait("return document.querySelector('#recordings a')?.href")
    assert page.run("return document.getElementById('recordings').innerText") == "50 % öl#1.mkv"
    page.run("fetch(arguments[0]).then((a) => a.text()).then((text) => (window.got = text))", found)
    page.wait("return window.got", until=lambda text: text == "moving pictures")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_theme_is_the_viewer_s(page, desk, theme):
    """Each with enough contrast, and the colours of that theme."""
    page.prefer("prefers-color-scheme", theme)
    back = page.wait("return getComputedStyle(document.body).backgroundColor")
    assert back == {"dark": "rgb(20, 23, 28)", "light": "rgb(243, 245, 248)"}[theme]
    desk.base = replace(desk.base, state="lost", message="The camera is gone")
    page.wait(STATE, until=lambda state: state == "lost")
    page.click("#keys")
    for ratio, text in page.run(CONTRAST):
        assert ratio >= 4.5, text
    if folder := os.environ.get("MALLE_PICTURES"):
        page.screenshot(Path(folder) / f"page-{theme}.png")


def test_every_control_has_a_name_and_a_role(page):
    wanted = {
        "#canvas": (
            "image",
            "Live picture, 320 by 192 pixels, split view, raw on the left 50 %, clean on the right",
        ),
        "#divider": ("slider", "Divider between raw and clean"),
        "#strength": ("slider", "Strength"),
        "#automatic": ("switch", "Automatic strength"),
        "#mix": ("slider", "Mix"),
        "#snapshot": ("button", "Snapshot"),
        "#record": ("button", "Record"),
        "#fill": ("button", "Full screen"),
        "#keys": ("button", "Keys"),
        "#scale": ("combobox", "Size"),
        "input[value=side]": ("radio", "Side by side"),
        ".views": ("group", "View"),
    }
    assert {css: (page.role(css), page.label(css)) for css in wanted} == wanted
    assert page.label("#plot").startswith("Latency over the last minute")


def test_text_has_contrast(page, desk):
    desk.base = replace(desk.base, state="lost", message="The camera is gone")
    page.wait(STATE, until=lambda state: state == "lost")
    page.click("#snapshot")
    page.wait("return document.getElementById('downloads').checkVisibility()")
    for ratio, text in page.run(CONTRAST):
        assert ratio >= 4.5, text


def test_the_focus_is_seen(page):
    focus(page, "#snapshot")
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_lost_camera_is_told(page, desk):
    desk.base = replace(desk.base, state="lost", message="Camera 0 gives no pictures. Trying again in 2 s")
    page.wait(
        "return document.getElementById('alarm').innerText", until=lambda text: text == desk.base.message
    )
    desk.base = replace(desk.base, state="live", message=None)
    page.wait("return !document.getElementById('alarm').innerText")


def test_a_lost_connection_is_told_and_found_again(browser, server, desk, camera):
    browser.open(server.url)
    browser.wait(STATE, until=lambda state: state == "live")
    server.close()
    browser.wait(
        "return document.getElementById('alarm').innerText", until=lambda text: "Trying again" in text
    )
    assert browser.run("return document.getElementById('snapshot').disabled")
    again = WebServer(
        desk, WebAddress(port=urlsplit(server.url).port), token=server.url.partition("?token=")[2]
    )
    again.start()
    try:
        browser.wait(STATE, until=lambda state: state == "live")
        browser.wait("return !document.getElementById('alarm').innerText")
        seen = set()
        browser.wait(INDEX, until=lambda index: seen.add(index) or len(seen) >= 3)
    finally:
        again.close()


def test_the_token_lets_in_and_leaves_the_address_bar(browser, desk):
    server = WebServer(desk, WebAddress(host="0.0.0.0", port=0), token="kitchen-camera-7")
    server.start()
    desk.latest.put(shot_of(flat(60), flat(180)))
    bare = server.url.split("?")[0]
    try:
        browser.open(bare)
        assert "This page needs its token" in browser.run("return document.body.innerText")
        assert not browser.run("return document.scripts.length") and browser.label("input") == "Token"
        browser.type("a-wrong-token-of-16" + ENTER)
        browser.wait("return location.search", until=lambda query: "wrong" in query)
        browser.type("kitchen-camera-7" + ENTER)
        browser.wait(LUMA, 0.9, until=lambda luma: luma > 170)
        assert browser.run("return location.href") == bare
        assert browser.run("return document.cookie") == ""
        browser.open(bare)
        browser.wait(STATE, until=lambda state: state == "live")
    finally:
        server.close()


def test_a_page_from_elsewhere_sees_nothing(browser, server):
    """Another origin: neither the socket, the page nor a picture of ours."""
    browser.open("data:text/html,<title>elsewhere</title>")
    browser.run(
        """
        const [host, url] = arguments;
        window.seen = [];
        const socket = new WebSocket(`ws://${host}/socket`);
        socket.onopen = () => seen.push("socket open");
        socket.onerror = () => seen.push("socket refused");
        fetch(url).then(() => seen.push("page read"), () => seen.push("page refused"));
        const image = new Image();
        image.onload = () => seen.push("image shown");
        image.onerror = () => seen.push("image refused");
        image.src = `${url}icon.svg`;
        """,
        urlsplit(server.url).netloc,
        server.url,
    )
    seen = browser.wait("return window.seen", until=lambda seen: len(seen) == 3)
    assert sorted(seen) == ["image refused", "page refused", "socket refused"]


def test_a_phone_has_everything_within_its_width(tmp_path, server, desk):
    desk.latest.put(shot_of(flat(60), flat(180)))
    with open_browser(tmp_path / "profile", (390, 844), phone=True) as phone:
        phone.open(server.url)
        phone.wait(STATE, until=lambda state: state == "live")
        assert phone.run("return document.documentElement.scrollWidth") == 390
        phone.click("input[value=side]")
        canvas = "const c = document.getElementById('canvas'); return [c.width, c.height]"
        phone.wait(canvas, until=lambda size: size == [320, 384])
        small = (
            "return [...document.querySelectorAll('button, .views label')].filter(e => e.checkVisibility())"
        )
        heights = phone.run(f"{small}.map(e => e.getBoundingClientRect().height)")
        assert min(heights) >= 44


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
