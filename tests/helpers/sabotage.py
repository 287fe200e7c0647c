"""Sessions that do not do their work: what a benchmark must not be taken in by."""

import numpy as np

from malle_rt.backends.base import BlockingSession

__all__ = ["FRAUDS", "Fraud"]


class Fraud:
    """A real backend whose sessions' results are tampered with.

    Args:
        backend: the real one.
        tamper: takes the noisy and all clean planes so far, gives what is to come out.
    """

    def __init__(self, backend, tamper):
        self._backend, self._tamper = backend, tamper
        self.info = backend.info

    def prepare(self, shape):
        return _Session(self._backend.prepare(shape), self._tamper)

    def close(self):
        self._backend.close()


class _Session(BlockingSession):
    def __init__(self, session, tamper):
        self._session, self._tamper = session, tamper
        self._clean = []

    def run(self, planes, noise, state):
        clean, state = self._session.run(planes, noise, state)
        self._clean = [*self._clean[-4:], clean]
        return self._tamper(planes, self._clean), state


def returns_its_input(noisy, clean):
    return noisy


def returns_a_stale_frame(noisy, clean):
    return clean[-2] if len(clean) > 1 else clean[-1]


def returns_black(noisy, clean):
    return tuple(np.full_like(plane, 16) for plane in noisy)


FRAUDS = {
    "the output is the input": returns_its_input,
    "it is the frame of 1 before": returns_a_stale_frame,
    "the picture is blank": returns_black,
}
