"""The descriptions of the control interface, openapi.json and messages.json, say what the real server does."""

import asyncio
import json
import re
from dataclasses import replace
from importlib import resources
from urllib.parse import urlsplit

import aiohttp
import pytest
from helpers.web_client import Page
from helpers.web_session import flat, shot_of

from malle_rt.live.web.actions import Actions, read_request
from malle_rt.live.web.site import make_site

jsonschema = pytest.importorskip("jsonschema")

FILES = resources.files("malle_rt.live.web").joinpath("static")
PATHS = json.loads(FILES.joinpath("openapi.json").read_text())["paths"]
MESSAGES = json.loads(FILES.joinpath("messages.json").read_text())
REQUEST = jsonschema.Draft202012Validator({**MESSAGES, "$ref": "#/$defs/request"})
MESSAGE = jsonschema.Draft202012Validator({**MESSAGES, "$ref": "#/$defs/message"})
NAMES = [each["properties"]["do"]["const"] for each in MESSAGES["$defs"]["request"]["oneOf"]]
VALUES = [True, False, None, 0, 1, -1, 7, 0.5, 75, 75.5, 1e13, "split", "clean", "", "auto", "1/2", [], {}]


class Nowhere:
    """What make_site wants of its parts, to ask it for its routes alone."""

    def __getattr__(self, name):
        return lambda *_: None


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(MESSAGES)
    components = json.loads(FILES.joinpath("openapi.json").read_text())["components"]["responses"]
    for path, item in PATHS.items():
        named = set(re.findall(r"{(\w+)}", path))
        operation = item["get"]
        assert {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"} == named
        for answer in operation["responses"].values():
            assert "$ref" not in answer or answer["$ref"].rpartition("/")[2] in components


def test_every_route_is_described():
    nowhere = Nowhere()
    routes = {each.canonical for each in make_site(nowhere, nowhere, nowhere, None).router.resources()}
    assert routes == PATHS.keys() - {"/"}


@pytest.mark.parametrize("name", [*NAMES, "stop", "", None, 3])
def test_requests_are_taken_as_described(desk, name):
    """What the schema allows is done without a word; what ends a connection is not allowed by it."""
    taken = set()
    for value in VALUES:
        message = {"do": name, "value": value}
        valid = REQUEST.is_valid(message)
        try:
            request = read_request(json.dumps(message))
        except ValueError:
            assert not valid, message
            continue
        if name in ("drawn", "view", "frozen"):
            answer = None
        else:
            answer = Actions(desk).perform(request, 1, shot_of(flat(60), flat(180)))
        refused = answer is not None and answer["kind"] == "notice"
        assert not (valid and refused), message
        taken |= {name} if valid else set()
    assert taken == ({name} if name in NAMES else set())


def test_names_and_values_alone_are_a_request():
    for message in ({}, {"do": "mix"}, {"value": 1}, {"do": "mix", "value": 1, "more": 1}, [], "mix", 1):
        assert not REQUEST.is_valid(message)
        with pytest.raises(ValueError):
            read_request(json.dumps(message))


def test_what_the_server_says_is_described(server, desk):
    desk.latest.put(shot_of(flat(60), flat(180)))
    desk.base = replace(
        desk.base, outputs=("virtual camera: 30.0 fps",), estimated=None, message="all is well"
    )

    async def talk():
        async with Page(server.url) as page:
            await page.picture()
            for name, value in (("snapshot", True), ("mix", 7), ("recording", True)):
                await page.send(name, value)
            kinds, recorded, drawn = set(), False, False
            while len(kinds) < 3 or not recorded or not drawn:
                letter = json.loads(await asyncio.wait_for(page._next_of(aiohttp.WSMsgType.TEXT), 10))
                MESSAGE.validate(letter)
                kinds.add(letter["kind"])
                recorded = recorded or letter.get("recording") is not None
                drawn = drawn or bool(letter.get("drawn"))

    asyncio.run(talk())


def test_paths_answer_as_described(server, desk, tmp_path):
    """Each kind of answer that a path has, with its status and type of content."""
    desk.latest.put(shot_of(flat(60), flat(180)))
    (tmp_path / "hall 1.mkv").write_bytes(b"0123456789")
    desk.recordings = [tmp_path / "hall 1.mkv", tmp_path / "moved.mkv"]
    wanted = [
        ("/", "/", {}, 200),
        ("/{name}", "/messages.json", {}, 200),
        ("/{name}", "/openapi.json", {}, 200),
        ("/{name}", "/main.js", {}, 200),
        ("/{name}", "/nothing.here", {}, 404),
        ("/socket", "/socket", {}, 403),
        ("/socket", "/socket", {"Origin": "http://{host}"}, 400),
        ("/snapshot/{number}/{part}.png", "/snapshot/{shot}/clean.png", {}, 200),
        ("/snapshot/{number}/{part}.png", "/snapshot/999/raw.png", {}, 404),
        ("/recordings/{name}", "/recordings/hall%201.mkv", {}, 200),
        ("/recordings/{name}", "/recordings/hall%201.mkv", {"Range": "bytes=2-4"}, 206),
        ("/recordings/{name}", "/recordings/moved.mkv", {}, 404),
        ("/recordings/{name}", "/recordings/..%2Fhall%201.mkv", {}, 404),
    ]
    wanted += [(path, asked, {"stranger": "1"}, 403) for path, asked, _, status in wanted if status == 200]

    async def ask():
        host = urlsplit(server.url).netloc
        async with Page(server.url) as page:
            shot = await page.picture()
            await page.send("snapshot", True)
            await page.letter("snapshot")
            token = server.url.partition("?")[2]
            bodies = {}
            for path, asked, headers, status in wanted:
                url = f"http://{host}{asked.format(shot=shot.number)}"
                if "stranger" not in headers:
                    url += f"?{token}"
                sent = {name: value.format(host=host) for name, value in headers.items()}
                async with (
                    aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
                    client.get(aiohttp.client.URL(url, encoded=True), headers=sent) as answer,
                ):
                    assert answer.status == status, url
                    described = PATHS[path]["get"]["responses"][str(status)]
                    if "$ref" not in described:
                        kinds = {kind.replace("/*", "/x") for kind in described["content"]}
                        found = answer.content_type
                        assert {found, f"{found.partition('/')[0]}/x"} & kinds, (url, found)
                    bodies[asked, status] = await answer.read()
            return bodies

    bodies = asyncio.run(ask())
    assert bodies["/recordings/hall%201.mkv", 200] == b"0123456789"
    assert bodies["/recordings/hall%201.mkv", 206] == b"234"
    assert json.loads(bodies["/messages.json", 200]) == MESSAGES


def test_a_frozen_client_gets_no_picture_and_saves_the_one_it_shows(server, desk, camera):
    async def talk():
        async with Page(server.url) as page:
            shown = await page.picture()
            await page.send("frozen", True)
            await page.letter("statistics")
            await page.letter("statistics")
            pictures = 0
            end = asyncio.get_running_loop().time() + 0.6
            while (left := end - asyncio.get_running_loop().time()) > 0:
                try:
                    message = await asyncio.wait_for(page.socket.receive(), left)
                except asyncio.TimeoutError:
                    break
                pictures += message.type is aiohttp.WSMsgType.BINARY
            await page.send("snapshot", True)
            saved = await page.letter("snapshot")
            await page.send("frozen", False)
            return shown.number, saved["number"], pictures, (await page.picture()).number

    shown, saved, pictures, after = asyncio.run(talk())
    assert pictures == 0 and saved >= shown and after > saved
