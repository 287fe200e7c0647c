"""What the tests of training share."""

import pytest
import torch
from compiledslice import BuildError, SliceLibrary, build, find_compiler


@pytest.fixture
def one_thread():
    """Steps this small lose more to two threads waiting for each other, on a busy machine, than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def slice_library():
    """The compiled slice; in a fresh checkout it takes half a minute to make."""
    try:
        find_compiler()
    except BuildError as exc:
        pytest.skip(str(exc))
    return SliceLibrary(build())
