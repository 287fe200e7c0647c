import numpy as np

from malle_rt.bench.clip import SIGMA, ClipSource, judged, write_clip
from malle_rt.bench.plan import parse_size
from malle_rt.frame import Frame
from malle_rt.media.file_source import FileSource
from malle_rt.media.synthetic import read_index


def test_it_plays_there_and_back_without_end(clip):
    played = [read_index(frame) for frame in ClipSource(clip, 34)]
    assert played == [*range(16), *range(14, -1, -1), 1, 2, 3]


def test_its_noise_is_what_it_says(clip):
    difference = judged(clip.noisy_luma(3)).astype(float) - judged(clip.clean(3))
    assert abs(difference.std() - SIGMA) < 0.7  # a little is clipped away at the ends of the range
    assert np.array_equal(clip.noisy(3).planes[0], clip.noisy_luma(3))


def test_it_is_the_same_every_time(clip, tmp_path):
    again = write_clip(parse_size("192x128"), tmp_path)
    assert np.array_equal(clip.noisy(5).planes[1], again.noisy(5).planes[1])


def test_its_file_holds_the_same_frames_and_most_of_the_noise(clip):
    source = FileSource(clip.file)
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    assert [read_index(frame) for frame in frames[:20]] == [*range(16), 14, 13, 12, 11]
    kept = judged(frames[4].planes[0]).astype(float) - judged(clip.clean(4))
    assert kept.std() > 0.8 * SIGMA
