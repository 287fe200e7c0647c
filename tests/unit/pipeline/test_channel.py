"""Bounds, order, dropping and closing of the queue between stages."""

import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from malle_rt.errors import ConfigError
from malle_rt.frame import Frame, Packet
from malle_rt.pipeline import PipelineConfig
from malle_rt.pipeline.channel import Channel


def frame(pts: int) -> Frame:
    return Frame((np.zeros((2, 2), np.uint8),), "gray", pts, Fraction(1, 25))


def channel(depth: int = 2) -> Channel:
    return Channel(PipelineConfig(depth=depth))


def in_thread(work):
    done = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    return thread, done


def test_rejects_zero_depth():
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        PipelineConfig(depth=0)


def test_gives_items_in_order_and_then_ends():
    queue = channel(depth=5)
    for pts in range(5):
        assert queue.put(frame(pts))
    queue.close()
    assert [item.pts for item in queue] == [0, 1, 2, 3, 4]


def test_put_fails_once_closed_and_what_waits_is_still_read():
    queue = channel()
    queue.put(frame(0))
    queue.close()
    queue.close()
    assert queue.put(frame(1)) is False
    assert [item.pts for item in queue] == [0]


def test_a_full_channel_blocks_until_something_is_taken():
    queue = channel(depth=1)
    queue.put(frame(0))
    thread, done = in_thread(lambda: queue.put(frame(1)))
    time.sleep(0.05)
    assert not done, "put returned although the channel was full"
    items = iter(queue)
    assert next(items).pts == 0
    thread.join(2)
    assert done == [True]
    assert next(items).pts == 1


def test_closing_wakes_a_blocked_put():
    queue = channel(depth=1)
    queue.put(frame(0))
    thread, done = in_thread(lambda: queue.put(frame(1)))
    time.sleep(0.02)
    queue.close()
    thread.join(2)
    assert done == [False]


def test_closing_wakes_a_blocked_reader():
    queue = channel()
    thread, done = in_thread(lambda: list(queue))
    time.sleep(0.02)
    queue.close()
    thread.join(2)
    assert done == [[]]


def test_an_offer_drops_the_oldest_frames_and_keeps_order_and_every_packet():
    queue = channel(depth=2)
    sent = [frame(0), Packet("a"), frame(1), Packet("b"), frame(2), frame(3)]
    for item in sent:
        assert queue.offer(item)
    queue.close()
    assert not queue.offer(frame(4)) and not queue.offer(Packet("c"))
    assert list(queue) == [sent[1], sent[3], sent[4], sent[5]]
    assert (queue.came, queue.dropped, queue.dropped_packets) == (5, 3, 1)


def test_an_offered_packet_never_waits():
    queue = channel(depth=1)
    taken = [queue.offer(Packet(number)) for number in range(1000)]
    assert taken == sorted(taken, reverse=True)
    assert queue.dropped_packets == taken.count(False) > 0
    queue.close()
    assert [item.payload for item in queue] == list(range(taken.count(True)))


def test_packets_are_bounded_too():
    queue = channel(depth=1)
    thread, done = in_thread(lambda: [queue.put(Packet(number)) for number in range(1000)])
    time.sleep(0.1)
    assert not done, "a thousand packets were taken without a reader"
    queue.close()
    thread.join(2)
    assert done[0].count(True) < 1000
    assert False in done[0]


def test_length_counts_waiting_frames_only():
    queue = channel(depth=4)
    queue.put(Packet("a"))
    queue.put(frame(0))
    assert len(queue) == 1
