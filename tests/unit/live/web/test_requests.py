"""What pages ask for: each request changes the session, and nonsense ends the connection."""

import asyncio
import json
from dataclasses import replace

import aiohttp
import numpy as np
import pytest
from helpers.web_client import Page
from helpers.web_session import flat, shot_of

from malle_rt.live.web.actions import read_request
from malle_rt.opencv import opencv


def ask(server, *requests, until=None):
    """Send requests; the first statistics after them, or those that suit."""

    async def talk():
        async with Page(server.url) as page:
            for name, value in requests:
                await page.send(name, value)
            while True:
                letter = await page.letter("statistics")
                if until is None or until(letter):
                    return letter

    return asyncio.run(talk())


def test_statistics_tell_what_holds(server, desk):
    letter = ask(server)
    assert letter["backend"] == "openvino rt-s int8"
    assert (letter["automatic"], letter["strength"], letter["estimated"]) == (True, 12.0, 12.5)
    assert letter["latency"] == {"p50": 31.0, "p95": 44.0, "p99": 60.0}
    assert (letter["strongest"], letter["viewers"], letter["recording"]) == (75.0, 1, None)


def test_strength_and_mix_are_set(server, desk):
    letter = ask(server, ("strength", 31.5), ("mix", 0.25), until=lambda letter: letter["mix"] == 0.25)
    assert (letter["strength"], letter["automatic"]) == (31.5, False)
    assert (desk.controls.tuning.strength, desk.controls.tuning.mix) == (31.5, 0.25)


@pytest.mark.slow
def test_switching_automatic_off_twice_means_off(server, desk):
    letter = ask(
        server, ("automatic", False), ("automatic", False), until=lambda letter: not letter["automatic"]
    )
    assert letter["strength"] == 12.0
    assert ask(server, ("automatic", True), until=lambda letter: letter["automatic"])


@pytest.mark.slow
def test_recording_is_begun_and_ended_by_state(server):
    assert ask(server, ("recording", True), ("recording", True), until=lambda letter: letter["recording"])
    assert ask(server, ("recording", False), until=lambda letter: letter["recording"] is None)


def test_a_value_out_of_range_changes_nothing_and_is_answered(server, desk):
    async def talk():
        async with Page(server.url) as page:
            await page.send("strength", 76)
            return await page.letter("notice")

    assert asyncio.run(talk())["text"] == "strength must be auto, light, medium, strong or 0 to 75, got 76."
    assert desk.controls.tuning.strength == "auto"


def test_a_snapshot_is_what_the_page_shows_and_can_be_downloaded(server, desk):
    shot = shot_of(flat(60, (1920, 1080)), flat(180, (1920, 1080)))
    desk.latest.put(shot)

    async def talk():
        async with Page(server.url) as page, aiohttp.ClientSession() as session:
            await page.picture()
            desk.latest.put(shot_of(flat(0), flat(0)))
            await page.picture(draw=False)
            await page.send("snapshot", True)
            number = (await page.letter("snapshot"))["number"]
            pngs = []
            for part in ("raw", "clean"):
                async with session.get(server.url.replace("?", f"snapshot/{number}/{part}.png?")) as answer:
                    assert answer.content_type == "image/png"
                    assert f"malle-rt-{number}-{part}.png" in answer.headers["Content-Disposition"]
                    pngs.append(await answer.read())
            async with session.get(server.url.replace("?", f"snapshot/{number + 1}/raw.png?")) as answer:
                return pngs, answer.status

    pngs, status = asyncio.run(talk())
    pictures = [opencv().imdecode(np.frombuffer(png, np.uint8), 1) for png in pngs]
    assert [picture.shape for picture in pictures] == [(1080, 1920, 3)] * 2
    assert [round(picture.mean()) for picture in pictures] == [60, 180]
    assert desk.snapshots == [shot]
    assert status == 404


def test_without_a_picture_there_is_no_snapshot(server, desk):
    async def talk():
        async with Page(server.url) as page:
            await page.send("snapshot", True)
            return await page.letter("notice")

    assert asyncio.run(talk())["text"] == "There is no picture yet."
    assert desk.snapshots == []


def test_files_in_quick_succession_are_refused(server, desk):
    desk.latest.put(shot_of(flat(60), flat(180)))

    async def talk():
        async with Page(server.url) as page:
            await page.picture()
            for _ in range(12):
                await page.send("snapshot", True)
            return await page.letter("notice")

    assert "Too many files" in asyncio.run(talk())["text"]
    assert 4 <= len(desk.snapshots) < 8


def test_a_flood_of_messages_ends_the_connection(server):
    async def talk():
        async with Page(server.url) as page:
            for _ in range(400):
                try:
                    await page.send("drawn", 1)
                except ConnectionError:
                    break
            return await page.farewell()

    assert asyncio.run(talk()) == (1008, "Too many messages in a short time.")


def test_messages_of_no_page_end_the_connection(server):
    async def talk(data):
        async with Page(server.url) as page:
            await (page.socket.send_bytes if isinstance(data, bytes) else page.socket.send_str)(data)
            return await page.farewell()

    assert asyncio.run(talk("hello"))[0] == 1008
    assert asyncio.run(talk(b"\0"))[0] == 1008
    assert asyncio.run(talk("x" * 5000))[0] == 1009


@pytest.mark.parametrize(
    "message",
    [
        "", "[]", "null", "1", '"drawn"', "{}", '{"do": "drawn"}', '{"do": [], "value": 1}', "[" * 4000,
        '{"do": "stop", "value": true}', '{"do": "drawn", "value": 1.5}', '{"do": "drawn", "value": true}',
        '{"do": "view", "value": "all"}', '{"do": "view", "value": ["raw"]}', '{"do": "strength", "value": "auto"}',
        '{"do": "strength", "value": NaN}', '{"do": "mix", "value": 1e999}', '{"do": "mix", "value": true}',
        '{"do": "automatic", "value": 1}', '{"do": "snapshot", "value": null}', '{"do": "mix", "value": 1, "x": 1}',
        json.dumps({"do": "strength", "value": 10**400}),
    ],
)  # fmt: skip
def test_what_is_no_request_is_a_value_error(message):
    with pytest.raises(ValueError):
        read_request(message)


def test_messages_of_the_session_reach_the_page(server, desk):
    desk.base = replace(desk.base, state="lost", message="Camera 0 gives no pictures. Trying again in 2 s")
    letter = ask(server)
    assert (letter["state"], letter["message"]) == ("lost", desk.base.message)
