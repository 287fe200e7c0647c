"""Pictures over the socket: who gets which, how often they are made, and that nobody waits for the slow."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest
from helpers.web_client import Page, pages
from helpers.web_session import flat, shot_of

from malle_rt.live.web import WebAddress, WebServer, picture


@pytest.fixture
def encoded(monkeypatch):
    """What has been encoded, in order."""
    frames = []
    real = picture.encode_jpeg
    monkeypatch.setattr(picture, "encode_jpeg", lambda frame: frames.append(frame) or real(frame))
    return frames


def grey(picture):
    return None if picture is None else round(float(np.mean(picture)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("view", "clean", "raw"), [("split", 180, 60), ("side", 180, 60), ("raw", None, 60), ("clean", 180, None)]
)
def test_a_view_gets_the_parts_it_needs(server, desk, view, clean, raw):
    async def watch():
        async with Page(server.url) as page:
            await page.send("view", view)
            await page.letter("statistics")  # the view has arrived
            desk.latest.put(shot_of(flat(60), flat(180)))
            return await page.picture()

    received = asyncio.run(watch())
    assert (grey(received.clean), grey(received.raw)) == (clean, raw)
    assert received.size == (320, 192)
    assert 0 < received.age < 5000


def test_another_view_is_served_although_the_source_has_stalled(server, desk):
    desk.latest.put(shot_of(flat(60), flat(180)))

    async def watch():
        async with Page(server.url) as page:
            await page.picture()
            await page.send("view", "clean")
            await page.send("view", "raw")
            await page.send("view", "split")
        async with Page(server.url) as page:
            await page.send("view", "clean")
            first = await page.picture()
            await page.send("view", "split")
            return first, await page.picture() if first.raw is None else first

    first, second = asyncio.run(watch())
    assert first.number == second.number
    assert (grey(second.clean), grey(second.raw)) == (180, 60)


def test_wide_pictures_are_sent_at_1280(server, desk):
    desk.latest.put(shot_of(flat(60, (1920, 1080)), flat(180, (1920, 1080))))

    async def watch():
        async with Page(server.url) as page:
            return await page.picture()

    received = asyncio.run(watch())
    assert received.size == (1920, 1080)
    assert received.clean.shape == received.raw.shape == (720, 1280, 3)


def test_a_shot_is_encoded_once_for_everybody(server, desk, encoded):
    async def watch():
        async with pages(server.url, 4) as watching:
            for _ in range(6):
                desk.latest.put(shot_of(flat(60), flat(180)))
                await asyncio.gather(*(page.picture() for page in watching))

    asyncio.run(watch())
    assert len(encoded) == len(set(map(id, encoded))) == 12  # raw and clean of six


@pytest.mark.slow
def test_nothing_is_encoded_that_nobody_waits_for(server, desk, encoded):
    async def watch():
        for _ in range(10):
            desk.latest.put(shot_of(flat(60), flat(180)))
        async with Page(server.url) as page:
            await page.picture(draw=False)
            for _ in range(10):
                desk.latest.put(shot_of(flat(60), flat(180)))
            await page.letter("statistics")
            await page.letter("statistics")

    asyncio.run(watch())
    assert len(encoded) == 2


@pytest.mark.slow
def test_a_slow_page_gets_the_newest_and_holds_up_nobody(server, desk, camera):
    async def fast(page, seconds):
        end, numbers = time.monotonic() + seconds, []
        while time.monotonic() < end:
            numbers.append((await page.picture()).number)
        return numbers

    async def watch():
        async with Page(server.url) as slow, Page(server.url) as quick:
            first = await slow.picture(draw=False)
            begin = camera.count
            numbers = await fast(quick, 2)
            put = camera.count - begin
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(slow.picture(), 0.6)
            newest = camera.count
            await slow.send("drawn", first.number)
            second = await slow.picture()
            return numbers, put, second.number - newest

    numbers, put, behind = asyncio.run(watch())
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 0.7 * put
    assert behind >= 0
    assert camera.slowest < 0.2


@pytest.mark.slow
def test_the_time_to_the_page_includes_the_way_back(server, desk):
    async def watch():
        async with Page(server.url) as page:
            await page.letter("statistics")
            desk.latest.put(shot_of(flat(60), flat(180)))
            received = await page.picture(draw=False)
            await asyncio.sleep(0.2)
            await page.send("drawn", received.number)
            while not (drawn := (await page.letter("statistics"))["drawn"]):
                pass
            return received.age, drawn

    age, drawn = asyncio.run(watch())
    assert len(drawn) == 1
    assert age + 200 <= drawn[0] < 5000


def test_the_first_page_that_has_drawn_a_shot_counts(server, desk):
    shot = shot_of(flat(60), flat(180))
    desk.latest.put(shot)

    async def watch():
        async with Page(server.url) as one, Page(server.url) as two:
            first = await one.picture(draw=False)
            await two.picture(draw=False)
            before = list(desk.displayed)
            for page in (one, two):
                await page.send("drawn", first.number)
            for page in (one, two):
                while not (await page.letter("statistics"))["drawn"]:
                    pass
            return before

    assert asyncio.run(watch()) == []
    assert desk.displayed == [shot]


def test_beside_a_window_no_page_counts_as_display(desk):
    server = WebServer(desk, WebAddress(port=0), counts_display=False)
    server.start()
    desk.latest.put(shot_of(flat(60), flat(180)))

    async def watch():
        async with Page(server.url) as page:
            await page.picture()
            while not (await page.letter("statistics"))["drawn"]:
                pass

    asyncio.run(watch())
    server.close()
    assert desk.displayed == []


@pytest.mark.slow
def test_one_odd_shot_does_not_end_the_pictures(server, desk, caplog):
    odd = shot_of(flat(60), replace(flat(180), pix_fmt="nonsense"))

    async def watch():
        async with Page(server.url) as page:
            await page.letter("statistics")
            desk.latest.put(odd)
            await page.letter("statistics")
            desk.latest.put(shot_of(flat(60), flat(180)))
            return await page.picture()

    assert grey(asyncio.run(watch()).clean) == 180
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "a picture could not be encoded for the page"
    ]
