"""Segments on the machines of a Ray cluster.

An actor of Ray holds a compiled network on one node, with the processors or the GPU that it declares, and makes
segments by their numbers. What travels through Ray are paths and numbers, never frames: nodes see the source and the
folder of segments under the same paths, or all of it goes through storage that has an address (S3 and whatever fsspec
knows). Everything that must not be lost is on the disk of the machine that gives out the numbers, so that the cluster
may lose any node, and that machine be restarted.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av

from malle_rt import __version__, errors
from malle_rt.child import ChildEndedError, restored
from malle_rt.config import NVIDIA
from malle_rt.errors import BackendUnavailable, ConfigError, MalleError, MediaError, PipelineError, SinkError
from malle_rt.media.own_outputs import source_digest
from malle_rt.models import model_digest
from malle_rt.segments.plans import Folder, SegmentWork
from malle_rt.segments.worker import Made, SegmentWorker

__all__ = ["Cluster"]

log = logging.getLogger(__name__)

_CPUS = 4  # of an actor, where a node has as many: threads of a session beyond that gain little
_POLL = 0.5  # seconds between two looks at how far a segment is
_SILENCE = 60.0  # seconds after which an actor that does not answer is given up
_OPENING = (
    900.0  # seconds in which an actor must have opened network and source; an engine may have to be built
)
_NO_NODE = 60.0  # seconds that a cluster may be without any node that can do the work
_SEEN = 30.0  # seconds until a file that another node has written must be seen here
_SPARE = 64 << 20  # bytes that shall stay free on a node's disk
# Storage without folders, where to make one might be to make a bucket of a mistyped name.
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})


class Cluster:
    """The nodes of a Ray cluster as makers of segments; may serve several videos, one after the other.

    Args:
        address: of the cluster's head, such as "10.0.0.1:6379"; "auto": the one that runs on this machine; "local":
            this machine alone.
        storage: an address that fsspec knows, such as "s3://bucket/folder", through which everything goes; None: all
            nodes see source and output under the same paths.
    """

    def __init__(self, address: str, storage: str | None = None) -> None:
        self._address, self._storage = address, storage
        self._guard = threading.Lock()
        self._ray: Any = None
        self._began = False
        self._work: SegmentWork | None = None
        self._stopped: Callable[[], bool] = lambda: False
        self._wanted: dict[str, str] = {}
        self._exchange: _Exchange | None = None
        self._used: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._without = 0.0  # since when there has been no node

    def begin(
        self, work: SegmentWork, header: dict[str, Any], backend: str, stopped: Callable[[], bool]
    ) -> int:
        """Get ready for a video.

        Args:
            work: what all of its segments are made from and with.
            header: what the source is here.
            backend: what runs here.
            stopped: asked now and then whether no more is wanted.

        Returns:
            How many segments can be made at once.

        Raises:
            ConfigError: Ray or the storage cannot be reached, or is not installed.
        """
        self._ray = self._ray or self._connect()
        self._work, self._stopped = work, stopped
        self._wanted = _facts(work, header, backend)
        self._refused, self._without = {}, 0.0
        if self._storage is not None:
            told = f"{self._wanted['source']} {work.output} {header}"
            name = hashlib.blake2b(told.encode(errors="surrogateescape"), digest_size=5).hexdigest()
            self._exchange = _Exchange(f"{self._storage.rstrip('/')}/malle-rt-{name}")
            self._exchange.put_source(Path(work.source))
        return max(1, sum(_slots(node) for node in self._nodes().values()))

    def maker(self) -> _RemoteMaker | None:
        """One that makes segments on the node that has most room; None where none has any now.

        Raises:
            BackendUnavailable: for a minute no node could do it; the text has the reasons.
        """
        assert self._work is not None
        with self._guard:
            nodes = self._nodes()
            able = {name: node for name, node in nodes.items() if name not in self._refused}
            room = {name: _slots(node) - self._used.get(name, 0) for name, node in able.items()}
            name = max(room, key=lambda each: room[each], default="")
            if not able:
                self._without = self._without or time.monotonic()
                if time.monotonic() - self._without > (
                    _NO_NODE if len(nodes) > len(self._refused) or not nodes else 0
                ):
                    reasons = "; ".join(self._refused.values()) or "all are gone"
                    raise BackendUnavailable(f"no node of the cluster can make segments: {reasons}")
                return None
            self._without = 0.0
            if room[name] <= 0:
                return None
            self._used[name] = self._used.get(name, 0) + 1
        try:
            return self._open(name, able[name])
        except BaseException:
            self._free(name)
            raise

    def end(self, *, finished: bool) -> None:
        """A video is over; what was put into the storage goes where it is ``finished``. May be called twice."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None and finished:
            exchange.remove()
        if self._began and self._ray is not None:
            self._ray.shutdown()
            self._ray, self._began = None, False

    def _connect(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if self._address == "local":  # else its processes, here too, wait for all others
            os.environ.setdefault("RAY_worker_niceness", "0")
        try:
            import ray
        except ImportError as exc:
            raise ConfigError("cluster needs Ray: pip install 'malle-rt[cluster]'") from exc
        if ray.is_initialized():
            return ray
        address = None if self._address == "local" else self._address
        before = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                **({"address": address} if address else {"address": "local", "include_dashboard": False}),
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        except Exception as exc:  # of many kinds
            what = str(exc).strip().splitlines()[0]
            raise ConfigError(
                f"the Ray cluster {self._address} cannot be joined ({what})",
                hint="docs/cluster.md says how one begins",
            ) from exc
        finally:
            # Ray takes the signal that ends us well.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)
        self._began = True
        return ray

    def _nodes(self) -> dict[str, dict[str, Any]]:
        return {each["NodeID"]: each for each in self._ray.nodes() if each["Alive"]}

    def _open(self, name: str, node: dict[str, Any]) -> _RemoteMaker | None:
        """An actor on a node; None where it is not one that can do the work, or is busy."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        assert self._work is not None
        cpus, gpu = _needs(node), node["Resources"].get("GPU", 0) >= 1
        backend = self._wanted["backend"].split(" ")[0]
        on_gpu = backend in NVIDIA
        config = self._work.config
        if config.backend == "auto":  # which is what runs here
            config = replace(config, backend=backend)
        # Of the GPUs of a node, Ray shows an actor its own alone.
        config = replace(config, threads=cpus if config.backend == "openvino" else None, gpu=None)
        work = replace(self._work, config=config)
        address = node["NodeManagerAddress"]
        if on_gpu and not gpu:
            self._refuse(name, f"{address} declares no GPU")
            return None
        actor = (
            self._ray.remote(_Actor)
            .options(
                num_cpus=1 if on_gpu else cpus,
                num_gpus=1 if on_gpu else 0,
                max_concurrency=3,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=name, soft=False),
            )
            .remote()
        )
        folder, exchange = Folder(Path(work.folder)), self._exchange
        maker = _RemoteMaker(self._ray, actor, address, folder, exchange, lambda: self._free(name))
        try:
            asked = actor.open.remote(asdict(work), exchange.place if exchange is not None else None)
            end = time.monotonic() + _OPENING
            while not self._ray.wait([asked], timeout=_POLL)[0]:
                if self._stopped() or time.monotonic() > end:
                    maker.stop()
                    maker.close()
                    log.info("node %s: no answer in %.0f s", address, _OPENING)
                    return None
            answer = self._ray.get(asked)
        except Exception as exc:
            maker.close()
            self._refuse(name, f"{address} cannot run it ({_last_line(exc)})")
            return None
        difference = answer.get("what") or _difference(answer["facts"], self._wanted)
        if difference:
            maker.close()
            self._refuse(name, f"{address} {difference}")
            return None
        return maker

    def _refuse(self, name: str, reason: str) -> None:
        with self._guard:
            if name not in self._refused:
                self._refused[name] = reason
                log.warning("node %s: it is left out", reason)

    def _free(self, name: str) -> None:
        with self._guard:
            self._used[name] -= 1


def _needs(node: dict[str, Any]) -> int:
    """Processors of an actor on a node."""
    return max(1, min(_CPUS, int(node["Resources"].get("CPU", 0))))


def _slots(node: dict[str, Any]) -> int:
    """Actors that a node has room for."""
    resources = node["Resources"]
    return int(resources.get("GPU", 0)) or int(resources.get("CPU", 0)) // _needs(node)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _facts(work: SegmentWork, header: dict[str, Any], backend: str) -> dict[str, str]:
    """What must be the same on all nodes, as texts."""
    return {
        "version": f"malle-rt {__version__}, PyAV {av.__version__}",
        "weights": model_digest(work.config.model),
        "source": source_digest(Path(work.source)),
        "backend": backend.partition(" on ")[0],
        "header": str(sorted(header.items())),
    }


def _difference(found: dict[str, str], wanted: dict[str, str]) -> str:
    """Why a node is none for this work; "" where it is one."""
    texts = {
        "version": "has {found}, here is {wanted}",
        "weights": "has other weights of the network",
        "source": "has another file under the source's name",
        "backend": "runs {found}, here runs {wanted}",
        "header": "reads the source in another way",
    }
    for name, text in texts.items():
        if found[name] != wanted[name]:
            return text.format(found=found[name], wanted=wanted[name])
    return ""


class _RemoteMaker:
    """Makes segments by an actor; see ``SegmentWorker``."""

    def __init__(
        self,
        ray: Any,
        actor: Any,
        address: str,
        folder: Folder,
        exchange: _Exchange | None,
        on_close: Callable[[], None],
    ) -> None:
        self._ray, self._actor, self._address = ray, actor, address
        self._folder, self._exchange = folder, exchange
        self._on_close: Callable[[], None] | None = on_close
        self._stopped = False

    def make(self, number: int, on_frames: Callable[[int], None]) -> Made | None:
        """Raises ChildEndedError where the node or its process is no more, and what the segment failed with."""
        if self._exchange is not None:
            self._exchange.put_plans(number, self._folder)
        try:
            wanted, answered = self._actor.make.remote(number), time.monotonic()
            while not (found := self._ray.wait([wanted], timeout=_POLL)[0]):
                if self._stopped:
                    return None
                with suppress(self._ray.exceptions.GetTimeoutError):
                    on_frames(self._ray.get(self._actor.frames.remote(), timeout=_POLL))
                    answered = time.monotonic()
                if time.monotonic() - answered > _SILENCE:
                    raise ChildEndedError(f"on node {self._address} has not answered for {_SILENCE:.0f} s")
            answer = self._ray.get(found[0])
        except self._ray.exceptions.RayError as exc:
            if self._stopped:
                return None
            raise ChildEndedError(
                f"on node {self._address} ended: {type(exc).__name__}, {_last_line(exc)}"
            ) from exc
        if answer is None or self._stopped:
            return None
        if "error" in answer:
            self._fail(answer)
        self._receive(number, answer["bytes"])
        return Made(**answer["made"])

    def stop(self) -> None:
        """It ends at once."""
        self._stopped = True
        self._kill()

    def close(self) -> None:
        """Give the node back. May be called twice."""
        with suppress(Exception):  # it may be gone
            self._ray.get(self._actor.close.remote(), timeout=5)
        self._kill()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _kill(self) -> None:
        with suppress(Exception):
            self._ray.kill(self._actor)

    def _fail(self, answer: dict[str, Any]) -> None:
        kind = getattr(errors, answer["error"])
        if issubclass(kind, MediaError) and answer["own"]:  # this node's file or disk
            raise ChildEndedError(f"on node {self._address} failed: {answer['what']}")
        raise kind(answer["what"], hint=answer["hint"])

    def _receive(self, number: int, size: int) -> None:
        """Have the file here, whole."""
        if self._exchange is not None:
            self._exchange.get_segment(number, self._folder)
        path, end = self._folder.segment(number), time.monotonic() + _SEEN
        while not (path.exists() and path.stat().st_size == size):
            if time.monotonic() > end:
                raise SinkError(
                    f"{path}: node {self._address} has made it, but it is not seen here",
                    hint="All nodes must see the output's folder under the same path; else give a storage",
                )
            list(path.parent.iterdir())  # has network file systems look anew
            time.sleep(0.1)


class _Actor:
    """What runs on a node."""

    def __init__(self) -> None:
        self._worker: SegmentWorker | None = None
        self._exchange: _Exchange | None = None
        self._frames = 0
        self._undo = ExitStack()

    def open(self, plain: dict[str, Any], place: str | None) -> dict[str, Any]:
        """Open network and source; what is here, or why it cannot be."""
        logging.disable(logging.WARNING)  # the machine that gives out the work says the same
        work: SegmentWork = restored(SegmentWork, plain)
        try:
            if place is not None:
                self._exchange = _Exchange(place)
                work = self._undo.enter_context(self._exchange.on_this_node(work))
            if not Path(work.source).is_file():
                return {"what": f"does not have {work.source}"}
            if not os.access(work.folder, os.W_OK):
                return {"what": f"cannot write {work.folder}"}
            self._worker = SegmentWorker(work)
            return {"facts": _facts(work, self._worker.header, self._worker.backend)}
        except (MalleError, OSError) as exc:
            return {"what": f"cannot do it ({exc})"}

    def make(self, number: int) -> dict[str, Any] | None:
        """Make a segment; how it went."""
        assert self._worker is not None
        work = self._worker.work
        folder = Folder(Path(work.folder))
        self._frames = 0
        try:
            if self._exchange is not None:
                self._exchange.get_plans(number, folder)
            _wait_for(folder.plan(number))
            made = self._worker.make(number, self._count)
            if made is None:
                return None
            size = folder.segment(number).stat().st_size
            if self._exchange is not None:
                self._exchange.put_segment(number, folder)
            return {"made": asdict(made), "bytes": size}
        except (MalleError, OSError) as exc:
            cause = exc.__cause__ if isinstance(exc, PipelineError) and exc.__cause__ is not None else exc
            kind = type(cause).__name__ if isinstance(cause, MalleError) else "SinkError"
            own = (
                not Path(work.source).is_file()
                or not Path(work.folder).is_dir()
                or isinstance(cause, OSError)
            )
            what, hint = (cause.what, cause.hint) if isinstance(cause, MalleError) else (str(cause), "")
            return {"error": kind, "what": what, "hint": hint, "own": own}

    def process(self) -> int:
        """Its number on the node."""
        return os.getpid()

    def frames(self) -> int:
        """Of the segment that is being made."""
        return self._frames

    def close(self) -> None:
        """Leave nothing here."""
        if self._worker is not None:
            self._worker.stop()
        self._undo.close()

    def _count(self, frames: int) -> None:
        self._frames = frames


def _wait_for(path: Path) -> None:
    """Until a file of another node is seen here; what reads it says where it never is."""
    end = time.monotonic() + _SEEN
    while not path.exists() and time.monotonic() < end:
        list(path.parent.iterdir())
        time.sleep(0.1)


class _Exchange:
    """The files of one video in a storage that has an address.

    Attributes:
        place: the address of their folder.
    """

    def __init__(self, place: str) -> None:
        """Nothing is put there yet.

        Raises:
            ConfigError: no such kind of storage, or what reaches it is not installed.
        """
        try:
            from fsspec.core import url_to_fs

            self._files, self._root = url_to_fs(place)
        except (ImportError, ValueError) as exc:
            raise ConfigError(
                f"the storage {place} cannot be used ({exc})",
                hint="pip install 'malle-rt[cluster]'; for S3 s3fs, too",
            ) from exc
        kinds = self._files.protocol
        self._in_bucket = not _BUCKETS.isdisjoint([kinds] if isinstance(kinds, str) else kinds)
        self.place = place
        self._there: set[int] = set()  # plans that were put or got
        self._guard = threading.Lock()

    def put_source(self, source: Path) -> None:
        """Where it is not there already, from an earlier run."""
        remote = f"{self._root}/source{source.suffix}"
        with self._reached():
            there = self._files.exists(remote) and self._files.info(remote)["size"] == source.stat().st_size
            if not there:
                if not self._in_bucket:
                    self._files.makedirs(self._root, exist_ok=True)
                self._files.put_file(str(source), remote)

    def put_plans(self, number: int, folder: Folder) -> None:
        """All up to that of a segment."""
        with self._guard, self._reached():
            for each in sorted(set(range(number + 1)) - self._there):
                self._files.put_file(str(folder.plan(each)), f"{self._root}/{folder.plan(each).name}")
                self._there.add(each)

    def get_plans(self, number: int, folder: Folder) -> None:
        """The same on a node."""
        for each in sorted(set(range(number + 1)) - self._there):
            self._get(folder.plan(each).name, folder.plan(each))
            self._there.add(each)

    def put_segment(self, number: int, folder: Folder) -> None:
        """From a node, which keeps none."""
        path = folder.segment(number)
        with self._reached():
            self._files.put_file(str(path), f"{self._root}/{path.name}")
        path.unlink()

    def get_segment(self, number: int, folder: Folder) -> None:
        """To where it is joined; the storage keeps none."""
        path = folder.segment(number)
        self._get(path.name, path)
        with suppress(Exception):  # all of it is removed at the end
            self._files.rm_file(f"{self._root}/{path.name}")

    def remove(self) -> None:
        """All of it."""
        try:
            self._files.rm(self._root, recursive=True)
        except Exception as exc:  # the video is done
            log.warning("%s: cannot be removed (%s)", self.place, exc)

    @contextmanager
    def on_this_node(self, work: SegmentWork) -> Iterator[SegmentWork]:
        """The work with the source and a folder on this node's disk, until no actor needs them any more."""
        import fcntl

        base = Path(tempfile.gettempdir(), "malle-rt-cluster")
        here = base / self.place.rpartition("/")[2]
        here.mkdir(parents=True, exist_ok=True)
        for other in base.iterdir():
            _remove_unused(other)
        here.mkdir(exist_ok=True)
        with (here / "lock").open("w") as lock, (here / "copying").open("w") as copying:
            fcntl.flock(lock, fcntl.LOCK_SH)
            source = here / f"source{Path(work.source).suffix}"
            fcntl.flock(copying, fcntl.LOCK_EX)
            if not source.exists():
                self._require_room(here, source.name)
                self._get(source.name, source)
            fcntl.flock(copying, fcntl.LOCK_UN)
            with tempfile.TemporaryDirectory(dir=here) as folder:
                yield replace(work, source=str(source), folder=folder)
        _remove_unused(here)

    def _require_room(self, folder: Path, name: str) -> None:
        with self._reached():
            size = self._files.info(f"{self._root}/{name}")["size"]
        free = shutil.disk_usage(folder).free
        if size + _SPARE > free:
            raise SinkError(
                f"{folder}: the source takes {size / 2**30:.2f} GiB, {free / 2**30:.2f} GiB are free"
            )

    def _get(self, name: str, path: Path) -> None:
        """Whole or not at all."""
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            with self._reached():
                self._files.get_file(f"{self._root}/{name}", str(partial))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except Exception as exc:  # of as many kinds as there are storages
            raise SinkError(f"the storage {self.place}: {_last_line(exc)}") from exc


def _remove_unused(folder: Path) -> None:
    """What actors of a video have left on this node, unless some still use it."""
    import fcntl

    with suppress(OSError), (folder / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
