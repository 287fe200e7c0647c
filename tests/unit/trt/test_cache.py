import logging
import os
import subprocess
import sys
import threading
import time

import pytest
from helpers.trt import IDENTITY, identity

from malle_rt.errors import BackendError, ConfigError, EngineMismatch
from malle_rt.trt.cache import EngineCache, read_foreign, write_engine
from malle_rt.trt.private import user_cache

ENGINE = b"engine" * 100


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "home" / "engines")


def test_finds_what_it_stored_and_nothing_else(cache):
    assert cache.find(IDENTITY) is None
    path = cache.store(IDENTITY, ENGINE)
    assert cache.find(IDENTITY) == ENGINE
    assert cache.find(identity(driver="13.0")) is None
    assert path.name == IDENTITY.file_name
    assert cache.size() == len(ENGINE)
    assert sorted(entry.name for entry in cache.folder.iterdir()) == [path.name, f"{path.name}.json"]


def test_the_folder_and_its_files_are_private(cache):
    path = cache.store(IDENTITY, ENGINE)
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_others_can_write_to_is_refused(tmp_path, mode):
    folder = tmp_path / "engines"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(BackendError, match=f"can be written by others .mode {mode:o}.*chmod go-w {folder}"):
        EngineCache(folder)


def test_a_folder_whose_parent_others_can_write_to_is_refused(tmp_path):
    folder = tmp_path / "shared" / "engines"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o777)
    with pytest.raises(BackendError, match="can be written by others"):
        EngineCache(folder)
    folder.parent.chmod(0o1777)  # as /tmp is
    EngineCache(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path):
    folder = tmp_path / "engines"
    folder.mkdir()
    os.chown(folder, 12345, -1)
    with pytest.raises(BackendError, match=r"belongs to another user .id 12345."):
        EngineCache(folder)


def test_a_place_that_cannot_hold_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match=r"cannot use .*file/engines for engines: Not a directory"):
        EngineCache(tmp_path / "file" / "engines")


def test_the_user_chooses_where(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EngineCache().folder == tmp_path / "malle-rt" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert user_cache() == tmp_path / ".cache"


def test_a_damaged_engine_is_not_used_and_says_so(cache, caplog):
    path = cache.store(IDENTITY, ENGINE)
    path.write_bytes(ENGINE[:-1])
    assert cache.find(IDENTITY) is None
    assert "is not used: it is damaged" in caplog.text
    assert cache.missing(IDENTITY) == "the engine in the cache is damaged"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"sha256": 1, "engine": {}}', b"\xff"])
def test_a_damaged_description_counts_as_none(cache, content):
    path = cache.store(IDENTITY, ENGINE)
    path.with_name(f"{path.name}.json").write_bytes(content)
    assert cache.find(IDENTITY) is None
    assert cache.store(IDENTITY, ENGINE) == path
    assert cache.find(IDENTITY) == ENGINE


def test_an_engine_whose_writer_died_before_the_description_counts_as_none(cache):
    (cache.folder / IDENTITY.file_name).write_bytes(ENGINE)
    assert cache.find(IDENTITY) is None


def test_a_full_disk_leaves_nothing(small_disk):
    cache = EngineCache(small_disk / "engines")
    cache.store(IDENTITY, ENGINE)
    with pytest.raises(BackendError, match="No space left"):
        cache.store(identity(profile="4k"), bytes(2**20))
    assert cache.find(IDENTITY) == ENGINE
    assert not list(cache.folder.glob("*.partial"))


def test_a_new_engine_replaces_the_old_ones_of_its_kind_only(cache):
    others = [identity(profile="4k"), identity(flavour="tensorrt-rtx"), identity(gpu="Tesla T4")]
    for each in (IDENTITY, *others):
        cache.store(each, ENGINE)
    newer = identity(version="10.7.0")
    assert cache.missing(newer) == "the engine in the cache was built with TensorRT 10.3.0, this is 10.7.0"
    cache.store(newer, ENGINE)
    assert cache.find(IDENTITY) is None
    assert not cache.path(IDENTITY).exists()
    assert all(cache.find(each) for each in (newer, *others))


def test_says_when_there_never_was_one(cache):
    assert cache.missing(IDENTITY) == "there is no engine for it yet"


def test_the_engines_not_used_for_longest_go_when_there_are_too_many(tmp_path):
    cache = EngineCache(tmp_path / "engines", largest=2 * len(ENGINE))
    kept = [identity(profile=f"{size}x{size}") for size in (8, 16)]
    for age, each in enumerate(kept):
        path = cache.store(each, ENGINE)
        os.utime(path, (age, age))
    cache.kernels_path(kept[1]).write_bytes(b"compiled")
    cache.find(kept[0])  # used just now
    cache.store(IDENTITY, ENGINE)
    assert cache.find(kept[0])
    assert cache.find(IDENTITY)
    assert cache.find(kept[1]) is None
    assert not cache.kernels_path(kept[1]).exists()


def test_what_interrupted_writers_left_goes_after_a_day(cache):
    old, new = (cache.folder / f"{name}.partial" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    cache.store(IDENTITY, ENGINE)
    assert not old.exists()
    assert new.exists()


def test_one_builder_at_a_time_and_a_bounded_wait(cache):
    busy = r"another malle-rt is building this engine .* after 0.3 s"
    with cache.lock(IDENTITY):
        with pytest.raises(BackendError, match=busy), cache.lock(IDENTITY, seconds=0.3):
            pass
        with cache.lock(identity(profile="4k"), seconds=0.3):
            pass  # another engine is nobody's business


@pytest.mark.slow
def test_the_lock_ends_with_its_process(cache):
    code = (
        "import sys, os; from pathlib import Path; from helpers.trt import IDENTITY; "
        "from malle_rt.trt.cache import EngineCache; "
        "lock = EngineCache(Path(sys.argv[1])).lock(IDENTITY); lock.__enter__(); print('locked', flush=True); "
        "sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(cache.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout.readline() == b"locked\n"
        waited = threading.Timer(0.5, other.kill)
        waited.start()
        start = time.monotonic()
        with cache.lock(IDENTITY, seconds=10):
            assert time.monotonic() - start > 0.3
        waited.join()


def test_an_engine_from_elsewhere_needs_the_users_word(tmp_path):
    path = tmp_path / "film.engine"
    write_engine(path, IDENTITY, ENGINE)
    with pytest.raises(ConfigError, match=r"executable code.*trust_engine=True"):
        read_foreign(path, IDENTITY, trust=False)
    assert read_foreign(path, IDENTITY, trust=True) == ENGINE
    with pytest.raises(
        EngineMismatch, match=r"built for Tesla T4, this is NVIDIA.*build it again: malle-rt build"
    ):
        write_engine(path, identity(gpu="Tesla T4"), ENGINE)
        read_foreign(path, IDENTITY, trust=True)
    path.with_name("film.engine.json").unlink()
    with pytest.raises(EngineMismatch, match=r"film.engine.json, which says what the engine is, is missing"):
        read_foreign(path, IDENTITY, trust=True)
    with pytest.raises(ConfigError, match=r"cannot read the engine .*nope: No such file"):
        read_foreign(tmp_path / "nope", IDENTITY, trust=True)


def test_removing_an_older_engine_is_logged(cache, caplog):
    cache.store(IDENTITY, ENGINE)
    with caplog.at_level(logging.INFO):
        cache.store(identity(driver="13.0"), ENGINE)
    assert "removing the older engine rt-s-fp16-720p" in caplog.text
