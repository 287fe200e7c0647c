"""The user's own folder of built engines: one file each, and beside it what the engine is.

An engine counts only with its description (JSON), which carries the engine's checksum and is written after it. So
a power cut, a full disk or two builders at once leave at worst an engine that counts for nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from malle_rt.errors import BackendError, BackendUnavailable, ConfigError, EngineMismatch
from malle_rt.trt.identity import EngineIdentity
from malle_rt.trt.private import private_folder, user_cache, write_whole

try:
    import fcntl
except ImportError as exc:
    raise BackendUnavailable(
        "TensorRT's engines are kept with the file locks of Linux: use backend 'cuda'"
    ) from exc

__all__ = ["EngineCache", "read_foreign", "write_engine"]

log = logging.getLogger(__name__)

LOCK_SECONDS = 1800.0  # another process may be building, which takes minutes on a small machine
_LOOK_AGAIN = 0.2  # seconds
_FREE = ("profile", "sizes", "options")  # of an engine that a user picked by hand
_STALE = 24 * 3600.0  # seconds after which a partial file has surely lost its writer


class EngineCache:
    """Engines this user has built.

    Args:
        folder: private to the user; None: "malle-rt/engines" in the user's cache folder.
        largest: bytes of all engines together, beyond which the ones not used for longest are removed.

    Raises:
        BackendError: the folder cannot be made, or others may write to it.
    """

    def __init__(self, folder: Path | None = None, *, largest: int = 4 * 2**30) -> None:
        self._largest = largest
        self.folder = private_folder(folder or user_cache() / "malle-rt" / "engines")

    def find(self, identity: EngineIdentity) -> bytes | None:
        """The engine of just this identity; None when there is none, or when it is damaged (which is logged)."""
        path = self.path(identity)
        try:
            engine = _read(path, identity)
            os.utime(path)  # the least recently used ones go first
            return engine
        except FileNotFoundError:
            return None
        except EngineMismatch as exc:
            log.warning("%s is not used: %s", path.name, exc)
            return None

    def path(self, identity: EngineIdentity) -> Path:
        """Where the engine of this identity lies, if it is there."""
        return self.folder / identity.file_name

    def kernels_path(self, identity: EngineIdentity) -> Path:
        """Where TensorRT-RTX may keep what it compiled for this engine; goes when the engine goes."""
        return _kernels(self.path(identity))

    def timings_path(self, identity: EngineIdentity) -> Path:
        """Where TensorRT may keep what it measured on this GPU, for its next build."""
        return self.folder / f"{identity.flavour}_{identity.version}.timings"

    def missing(self, identity: EngineIdentity) -> str:
        """Why there is no such engine: what differs from the nearest one, for people."""
        if self.path(identity).exists():
            return "the engine in the cache is damaged"
        others = [other for _, other in self._described() if other.slot == identity.slot]
        if not others:
            return "there is no engine for it yet"
        nearest = min(others, key=lambda other: len(other.differences(identity)))
        return f"the engine in the cache was {'; '.join(nearest.differences(identity))}"

    def store(self, identity: EngineIdentity, engine: bytes) -> Path:
        """Keep an engine in the place of older ones of the same model, precision, profile, flavour and GPU."""
        path = self.path(identity)
        write_engine(path, identity, engine)
        for old, other in self._described():
            if old != path and other.slot == identity.slot:
                log.info("removing the older engine %s", old.name)
                _remove(old)
        self._sweep(keep=path)
        return path

    def size(self) -> int:
        """Bytes of all engines."""
        return sum(size for _, _, size in self._engines())

    @contextmanager
    def lock(self, identity: EngineIdentity, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Only one process at a time builds an engine of one slot; the others wait and find it in its place.

        Raises:
            BackendError: the other process is not done after ``seconds``.
        """
        name = hashlib.sha256("\n".join(identity.slot).encode()).hexdigest()[:16]
        with (self.folder / f"{name}.lock").open("w") as file:
            end = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as exc:
                    if exc.errno not in (errno.EAGAIN, errno.EACCES):
                        raise BackendError(f"cannot lock {self.folder}: {exc.strerror}") from exc
                if time.monotonic() > end:
                    raise BackendError(
                        f"another malle-rt is building this engine in {self.folder} and is not done after {seconds:g} s"
                    )
                time.sleep(_LOOK_AGAIN)
            yield

    def _described(self) -> Iterator[tuple[Path, EngineIdentity]]:
        """Every engine that says what it is."""
        for sidecar in sorted(self.folder.glob("*.engine.json")):
            with suppress(OSError, EngineMismatch):
                yield sidecar.with_suffix(""), _described_by(sidecar)[0]

    def _engines(self) -> list[tuple[float, Path, int]]:
        """Time of last use, path and size in bytes of every engine, oldest first."""
        found = []
        for path in self.folder.glob("*.engine"):
            with suppress(OSError):
                entry = path.stat()
                found.append((entry.st_mtime, path, entry.st_size))
        return sorted(found)

    def _sweep(self, *, keep: Path) -> None:
        """Remove what interrupted writers left, and the engines not used for longest when there are too many."""
        for partial in self.folder.glob("*.partial"):
            with suppress(OSError):
                if time.time() - partial.stat().st_mtime > _STALE:
                    partial.unlink()
        total = self.size()
        for _, path, size in self._engines():
            if total > self._largest and path != keep:
                log.info("removing %s: the cache is full", path.name)
                _remove(path)
                total -= size


def write_engine(path: Path, identity: EngineIdentity, engine: bytes) -> None:
    """Write an engine and, last, its description beside it. Raises ``BackendError``."""
    checksum = hashlib.sha256(engine).hexdigest()
    description = json.dumps({"sha256": checksum, "engine": json.loads(identity.to_json())}, indent=2) + "\n"
    try:
        write_whole(path, engine)
        write_whole(_sidecar(path), description.encode())
    except OSError as exc:
        raise BackendError(f"cannot write {path}: {exc.strerror or exc}") from exc


def read_foreign(path: Path, here: EngineIdentity, *, trust: bool) -> bytes:
    """Read an engine that lies outside the private cache.

    Args:
        path: of the engine, with its description beside it.
        here: what the engine must have been built for.
        trust: whether the user vouches for the file.

    Raises:
        ConfigError: not trusted, or there is no such file.
        EngineMismatch: damaged, without a description, or built for something else. Its frame sizes and options are
            its builder's choice: whether a frame fits shows when it is made ready for one.
    """
    if not trust:
        raise ConfigError(
            f"{path} is not in your own engine cache, and an engine is executable code",
            hint="Give trust_engine=True if you trust whoever built it",
        )
    try:
        return _read(path, here, free=_FREE)
    except OSError as exc:
        raise ConfigError(f"cannot read the engine {path}: {exc.strerror}") from exc
    except EngineMismatch as exc:
        raise EngineMismatch(f"{path} cannot be used: {exc}; build it again: malle-rt build") from exc


def _read(path: Path, here: EngineIdentity, *, free: Sequence[str] = ()) -> bytes:
    """Raises ``OSError`` and ``EngineMismatch``; fields in ``free`` may differ."""
    engine = path.read_bytes()
    try:
        identity, checksum = _described_by(_sidecar(path))
    except FileNotFoundError as exc:
        raise EngineMismatch(f"{_sidecar(path).name}, which says what the engine is, is missing") from exc
    if hashlib.sha256(engine).hexdigest() != checksum:
        raise EngineMismatch("it is damaged (its checksum is another)")
    identity.check(replace(here, **{field: getattr(identity, field) for field in free}))
    return engine


def _described_by(sidecar: Path) -> tuple[EngineIdentity, str]:
    """What an engine is, and its checksum. Raises ``FileNotFoundError`` and ``EngineMismatch``."""
    try:
        content = json.loads(sidecar.read_bytes())
        return EngineIdentity.from_fields(content["engine"]), str(content["sha256"])
    except (ValueError, KeyError, TypeError) as exc:
        raise EngineMismatch(f"{sidecar.name} is damaged") from exc


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _kernels(path: Path) -> Path:
    return path.with_name(path.name + ".kernels")


def _remove(path: Path) -> None:
    """Description first: an engine without one counts for nothing."""
    for each in (_sidecar(path), _kernels(path), path):
        with suppress(OSError):
            each.unlink()
