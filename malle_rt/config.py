"""What a user can choose about denoising, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Literal

from malle_rt.errors import ConfigError

__all__ = [
    "BACKENDS",
    "CUDA_ADAPTERS",
    "HWACCELS",
    "MAX_SIGMA",
    "NVIDIA",
    "PICTURES",
    "PRECISIONS",
    "RUNTIMES",
    "SHARES",
    "DenoiseConfig",
    "Runtime",
    "Strength",
    "check_tuning",
]


@dataclass(frozen=True)
class Runtime:
    """What a backend can run.

    Attributes:
        precisions: it runs networks in.
        reads_graphs: whether the network must have a portable graph in that precision.
    """

    precisions: tuple[str, ...]
    reads_graphs: bool


# The backends that run a network; ``malle_rt.backends.select`` opens them.
RUNTIMES = {
    "tensorrt": Runtime(("fp16", "int8"), reads_graphs=True),
    "tensorrt-rtx": Runtime(("fp16", "int8"), reads_graphs=True),
    "cuda": Runtime(("fp16", "fp32"), reads_graphs=False),
    "openvino": Runtime(("int8", "fp32"), reads_graphs=True),
    "torch": Runtime(("fp32",), reads_graphs=False),
}
NVIDIA = ("tensorrt", "tensorrt-rtx", "cuda")  # of these, those on a GPU; fastest first
BACKENDS = ("auto", *RUNTIMES, "none")
PRECISIONS = ("auto", "fp32", "fp16", "int8")
CUDA_ADAPTERS = ("auto", "cuda-bindings", "pycuda")
HWACCELS = ("auto", "cuda", "none")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")  # that a comparison or a preview can be written as
MAX_SIGMA = 75.0
Strength = float | Literal["auto", "light", "medium", "strong"]
"""Sigma on the 8-bit scale, or a word: a share of what is estimated from the picture, which "auto" takes whole."""
SHARES: dict[str, float] = {"auto": 1.0, "light": 0.6, "medium": 1.0, "strong": 1.5}


@dataclass(frozen=True, kw_only=True)
class DenoiseConfig:
    """How frames are denoised.

    Attributes:
        model: a network of ``engines/``, for example "rt-s".
        strength: standard deviation of the luma's noise on the 8-bit scale, 0 (leave every frame as it is) to 75,
            or "auto" to estimate it from the picture; "light", "medium" and "strong" are shares of that (``SHARES``).
        chroma_strength: of the chroma's noise, the same scale; None: as "auto" finds it beside the luma's, or as white
            noise in RGB has it. 0 leaves the chroma as it is; other numbers need a network that is told of the chroma.
        mix: share of the denoised picture in the result; 0.8 leaves a fifth of the noise in.
        backend: "auto", or the one that must run; "none" passes frames through, to measure the rest.
        precision: "auto" for the backend's own choice, or the one it must run in.
        threads: of the processor, for backend "openvino", also where "auto" chooses it; None: as many as this process
            may use.
        cuda_adapter: what drives CUDA; "auto" takes what is installed.
        gpu: CUDA's number of the NVIDIA GPU that must run, or "all", for videos that are made in segments; None: the
            first, where there is one.
        engine: path of a TensorRT engine from outside the user's own cache; None builds and keeps them there.
        trust_engine: an engine is executable code; whether the user vouches for ``engine``.

    Raises:
        ConfigError: for a value outside its range.
    """

    model: str = "rt-s"
    strength: Strength = "auto"
    chroma_strength: float | None = None
    mix: float = 1.0
    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    cuda_adapter: str = "auto"
    gpu: int | Literal["all"] | None = None
    engine: str | None = None
    trust_engine: bool = False

    def __post_init__(self) -> None:
        check_tuning(self.strength, self.mix)
        if self.chroma_strength is not None and not _within(self.chroma_strength, MAX_SIGMA):
            raise ConfigError(
                f"chroma strength must be 0 to {MAX_SIGMA:g}, got {_shown(self.chroma_strength)}"
            )
        for name, value, choices in (
            ("backend", self.backend, BACKENDS),
            ("precision", self.precision, PRECISIONS),
            ("cuda_adapter", self.cuda_adapter, CUDA_ADAPTERS),
        ):
            if value not in choices:
                raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        if self.threads is not None and not (isinstance(self.threads, int) and self.threads >= 1):
            raise ConfigError(f"threads must be a number of at least 1, got {self.threads!r}")
        if self.threads is not None and self.backend not in ("auto", "openvino"):
            raise ConfigError(f"threads are those of backend openvino, got {self.backend}")
        self._check_gpu()
        if self.engine is not None and self.backend not in ("tensorrt", "tensorrt-rtx"):
            raise ConfigError(f"an engine file needs backend tensorrt or tensorrt-rtx, got {self.backend}")

    def _check_gpu(self) -> None:
        if self.gpu is None:
            return
        number = isinstance(self.gpu, int) and not isinstance(self.gpu, bool) and self.gpu >= 0
        if self.gpu != "all" and not number:
            raise ConfigError(f"gpu must be the number of a GPU, from 0 on, or all, got {self.gpu!r}")
        if self.backend not in ("auto", *NVIDIA):
            raise ConfigError(
                f"gpu chooses an NVIDIA GPU, for backend {', '.join(NVIDIA)} or auto, got {self.backend}"
            )

    @property
    def shares(self) -> tuple[float, float]:
        """Of the denoised luma, and of the denoised chroma, in the result."""
        luma = 0.0 if self.strength == 0 else self.mix
        chroma = self.strength if self.chroma_strength is None else self.chroma_strength
        return luma, 0.0 if chroma == 0 else self.mix


def check_tuning(strength: Strength, mix: float) -> None:
    """Check what can also be changed while frames are denoised; see ``DenoiseConfig``.

    Raises:
        ConfigError: for a value outside its range.
    """
    if strength not in SHARES if isinstance(strength, str) else not _within(strength, MAX_SIGMA):
        raise ConfigError(
            f"strength must be {', '.join(SHARES)} or 0 to {MAX_SIGMA:g}, got {_shown(strength)}"
        )
    if not _within(mix, 1):
        raise ConfigError(f"mix must be 0 to 1, got {_shown(mix)}")


def _within(value: object, largest: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and 0 <= float(value) <= largest


def _shown(value: object) -> str:
    return f"{float(value):g}" if isinstance(value, Real) else str(value)
