"""What the tests of training share."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Steps this small lose more to two threads waiting for each other, on a busy machine, than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
