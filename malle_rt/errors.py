"""Every error malle-rt raises on purpose.

MalleError
├── ConfigError(ValueError)      a bad option, found before any work starts
├── MediaError
│   ├── SourceError              a file, camera or stream that cannot be read
│   └── SinkError                an output that cannot be written
├── BackendError
│   ├── BackendUnavailable       this machine or installation cannot run the backend
│   ├── EngineMismatch           a built engine that belongs to another machine or version
│   └── KernelError              a kernel or graph that failed while running
│       └── OutOfDeviceMemory    the GPU has no memory left
└── PipelineError                a stage failed; ``__cause__`` is the reason
"""

from __future__ import annotations

from malle_rt.shown import without_secrets

__all__ = [
    "BackendError",
    "BackendUnavailable",
    "ConfigError",
    "EngineMismatch",
    "KernelError",
    "MalleError",
    "MediaError",
    "OutOfDeviceMemory",
    "PipelineError",
    "SinkError",
    "SourceError",
]


class MalleError(Exception):
    """Base of all errors that malle-rt raises on purpose; the text is one line for the user: ``what``, then ``hint``.

    It names no passwords: of addresses in it only scheme, host and port are told, whoever has put them there.

    Attributes:
        what: what is wrong, what was got, what was expected.
        hint: what to do about it; "" where that is plain. Options are named as in Python, ``overwrite=True``; the
            command line shows them as its own.
    """

    def __init__(self, what: str = "", *, hint: str = "") -> None:
        super().__init__(what)
        self._hint = hint

    @property
    def what(self) -> str:
        """Without the advice."""
        return without_secrets(super().__str__())

    @property
    def hint(self) -> str:
        """The advice alone."""
        return without_secrets(self._hint)

    def __str__(self) -> str:
        return ". ".join(part for part in (self.what, self.hint) if part)


class ConfigError(MalleError, ValueError):
    """An option outside its range, or options that exclude each other."""


class MediaError(MalleError):
    """Something is wrong with a file, a camera or a stream."""


class SourceError(MediaError):
    """The input cannot be opened, or stopped being readable."""


class SinkError(MediaError):
    """The output cannot be opened, written or verified."""


class BackendError(MalleError):
    """Something is wrong with the way the network is run."""


class BackendUnavailable(BackendError):
    """The backend cannot run here; the text says what is missing and how to add it."""


class EngineMismatch(BackendError):
    """A built engine does not belong to this machine, graph or library version."""


class KernelError(BackendError):
    """A kernel or a graph failed while it ran."""


class OutOfDeviceMemory(KernelError):
    """The GPU has no memory left for what was asked of it."""


class PipelineError(MalleError):
    """A stage of the pipeline failed; the text is that of our own error, or of any other behind the stage's name.

    Attributes:
        stage: name of the stage, as its thread is called.
    """

    def __init__(self, stage: str, cause: BaseException) -> None:
        if isinstance(cause, MalleError):  # it names its file or device: the stage would say nothing more
            super().__init__(cause.what, hint=cause.hint)
        else:
            super().__init__(f"{stage}: {cause}")
        self.stage = stage
