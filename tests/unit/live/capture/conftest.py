"""One clip for all servers."""

import pytest
from helpers.streams import write_stream_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return write_stream_clip(tmp_path_factory.mktemp("streams") / "clip.ts")
