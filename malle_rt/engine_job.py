"""One engine to be built: the installed TensorRT, the GPU if there is one, the cache or a file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from malle_rt.backends.gpu.engine import EngineRunner
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.opening import open_driver
from malle_rt.errors import BackendUnavailable, ConfigError
from malle_rt.trt.build import BuildProgress, BuiltEngine, build_engine
from malle_rt.trt.cache import EngineCache, write_engine
from malle_rt.trt.engines import EngineSpec, ready_engine, specify
from malle_rt.trt.flavour import choose_flavour
from malle_rt.trt.profiles import load_profile

__all__ = ["EngineJob", "EngineReport"]


@dataclass(frozen=True, kw_only=True)
class EngineReport:
    """What came of a job.

    Attributes:
        path: of the engine.
        spec: what it is.
        size: of the file in bytes.
        built: how it was built; None when the one in the cache was up to date.
        agreement: PSNR in dB between its first frames and the reference's; None when it was not run.
        cache: bytes of all engines in the cache; None when it went to a file.
    """

    path: Path
    spec: EngineSpec
    size: int
    built: BuiltEngine | None
    agreement: float | None
    cache: int | None

    def summary(self) -> str:
        """A few lines for the user."""
        if self.built is None:
            lines = [f"up to date: {self.path} ({self.size / 2**20:.1f} MiB)"]
        else:
            lines = [f"wrote {self.path}", *self._about(self.built)]
        if self.cache is None:
            lines.append(
                f"{self.path.name}.json says what it is: keep it beside. It is loaded with trust_engine=True only"
            )
        else:
            lines.append(f"all engines in {self.path.parent}: {self.cache / 2**20:.1f} MiB")
        return "\n".join(lines)

    def _about(self, built: BuiltEngine) -> list[str]:
        identity = self.spec.identity
        tried = "not run: there is no GPU here"
        if self.agreement is not None:
            tried = f"its first frames are {self.agreement:.1f} dB from the reference"
        size = f"{self.size / 2**20:.1f} MiB in {built.seconds:.1f} s"
        return [
            f"  {size}, contains {built.plugins} malle::MalleSlice plugins",
            f"  {identity.model} {identity.precision}, frames {identity.sizes} (min, tuned for, max)",
            f"  {identity.flavour} {identity.version} for {identity.gpu} ({identity.capability}), {identity.machine}",
            f"  graph {identity.graph[:12]}, {identity.options}",
            f"  {tried}",
        ]


class EngineJob:
    """An engine described and ready to be built; a context manager, since it may hold a GPU.

    Attributes:
        about: which TensorRT builds, why, and for which GPU; one line.
        spec: what will be built.
    """

    def __init__(self, backend: str | None, *, model: str, profile: str, precision: str) -> None:
        """Find the software and the GPU.

        Args:
            backend: "tensorrt" or "tensorrt-rtx"; None takes the installed one.
            model: a network of ``engines/``.
            profile: name of a profile, or a size such as "1280x720".
            precision: "fp16", "int8" or "fp32".

        Raises:
            ConfigError: no such profile, model or precision.
            BackendUnavailable: no such TensorRT, or it does not serve the GPU.
        """
        sizes = load_profile(profile)
        flavour, reason = choose_flavour(backend)
        with ExitStack() as undo:
            device, kernels, problem = None, None, ""
            try:
                driver = open_driver()
            except BackendUnavailable as exc:
                problem = str(exc)
            else:
                undo.callback(driver.close)
                device, kernels = driver.device, Kernels(driver)
            self._runner = EngineRunner(flavour, driver, kernels) if kernels else None
            where = f"for {device.name}" if device else f"without a GPU: {problem}"
            self.about = f"{flavour.title} ({reason}), {where}"
            self.spec = specify(
                flavour,
                sizes,
                device,
                model=model,
                precision=precision,
                kernels=kernels.checksum if kernels else "",
            )
            self._close = undo.pop_all().close
        self._agreement: float | None = None

    def into_cache(
        self, *, force: bool, building: Callable[[str], None], progress: Callable[[BuildProgress], None]
    ) -> EngineReport:
        """Build into the user's cache, unless the engine there is up to date.

        Args:
            force: build anyway.
            building: told, before it begins, why an engine is built.
            progress: see ``build_engine``.

        Raises:
            BackendError: see ``ready_engine``; nothing is kept then.
        """
        cache = EngineCache()
        ready = ready_engine(
            self.spec, cache, len, check=self._check, force=force, building=building, progress=progress
        )
        return self._report(ready.path, ready.loaded, ready.built, cache.size())

    def to_file(
        self, path: Path, *, overwrite: bool, progress: Callable[[BuildProgress], None]
    ) -> EngineReport:
        """Build to a file of the user's choice, with its description beside it.

        Raises:
            ConfigError: the file exists, or its folder does not.
            BackendError: see ``build_engine``; nothing is written then.
        """
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists", hint="overwrite=True replaces it")
        if not path.parent.is_dir():
            raise ConfigError(f"there is no folder {path.parent} to write {path.name} to")
        built = build_engine(self.spec.request, progress=progress)
        self._check(built.data)
        write_engine(path, self.spec.identity, built.data)
        return self._report(path, len(built.data), built, None)

    def close(self) -> None:
        """Give the GPU back. May be called twice."""
        self._close()

    def __enter__(self) -> EngineJob:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, engine: bytes) -> None:
        if self._runner is not None:
            self._agreement = self._runner.try_out(self.spec, engine)

    def _report(self, path: Path, size: int, built: BuiltEngine | None, cache: int | None) -> EngineReport:
        return EngineReport(
            path=path, spec=self.spec, size=size, built=built, agreement=self._agreement, cache=cache
        )
