"""A small clip, made once."""

import pytest

from malle_rt.backends.openvino import OpenVinoBackend
from malle_rt.bench.clip import write_clip
from malle_rt.bench.plan import parse_size


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return write_clip(parse_size("192x128"), tmp_path_factory.mktemp("clip"))


@pytest.fixture
def backend():
    return OpenVinoBackend("rt-s")
