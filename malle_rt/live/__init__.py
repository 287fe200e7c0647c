"""Live use: cameras and streams in, a window, a page, a recording and more out, always the newest picture."""

from contextlib import suppress

from malle_rt.errors import MediaError
from malle_rt.opencv import opencv

# OpenCV comes before PyAV, which nearly everything here imports: where it comes second, its Qt takes the libxcb of
# PyAV's wheel, and the first window hangs for ever (github.com/PyAV-Org/PyAV/issues/1050). A machine where OpenCV
# does not load at all can still do without a window.
with suppress(MediaError):
    opencv()
