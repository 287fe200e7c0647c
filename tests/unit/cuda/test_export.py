"""What we lend by DLPack comes back once, whether somebody takes it or not."""

import weakref

import numpy as np

from malle_rt.cuda import dlpack
from malle_rt.cuda.export import LentArray


class Owner:
    """What must live as long as its memory is lent."""


def lent(owner):
    return LentArray(0x1000, (4, 6, 2), (64, 4, 2), np.dtype(np.uint16), 0, owner)


def test_a_borrower_sees_what_was_lent():
    array = lent(Owner())
    seen = dlpack.take(array.__dlpack__())
    assert (seen.pointer, seen.shape, seen.strides) == (array.pointer, array.shape, array.strides)
    assert seen.dtype == array.dtype
    seen.release()


def test_the_owner_lives_until_the_last_borrower_is_done():
    owner = Owner()
    alive = weakref.ref(owner)
    array = lent(owner)
    tensors = [dlpack.take(array.__dlpack__()) for _ in range(2)]
    del array, owner
    tensors[0].release()
    assert alive() is not None
    tensors[1].release()
    assert alive() is None


def test_a_capsule_that_nobody_takes_gives_back():
    owner = Owner()
    alive = weakref.ref(owner)
    capsule = lent(owner).__dlpack__()
    del owner
    assert alive() is not None
    del capsule
    assert alive() is None
