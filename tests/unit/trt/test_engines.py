"""From the cache or built: the decisions, with real engines."""

import logging
import threading

import pytest

from malle_rt.cuda.driver import DeviceInfo
from malle_rt.errors import BackendError, BackendUnavailable, ConfigError, EngineMismatch
from malle_rt.models import graph_file
from malle_rt.trt.cache import EngineCache
from malle_rt.trt.engines import ready_engine, specify
from malle_rt.trt.flavour import load_flavour
from malle_rt.trt.profiles import load_profile

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'malle-rt[rtx]'")

RTX_4070 = DeviceInfo(index=0, name="RTX 4070", capability=(8, 9), driver=13000, memory=2**33)


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def spec(**changes):
    device = changes.pop("device", None)
    return specify(load_flavour("tensorrt-rtx"), load_profile("64x64"), device, **changes)


def test_an_identity_without_and_with_a_gpu():
    nobody, somebody = spec().identity, spec(device=RTX_4070, kernels="abc").identity
    assert nobody.gpu == "any GPU"
    assert nobody.capability.startswith("sm_75 ")
    assert (somebody.gpu, somebody.capability, somebody.driver) == ("RTX 4070", "sm_89", "13.0")
    assert somebody.kernels == "abc"
    assert spec(device=RTX_4070).request.capabilities == ("sm_89",)
    assert spec(precision="fp32").identity.graph != nobody.graph


def test_int8_is_built_where_it_is_int8():
    assert "sm_75" in spec().request.capabilities
    assert "sm_75" not in spec(precision="int8").request.capabilities
    turing = DeviceInfo(**{**vars(RTX_4070), "name": "Tesla T4", "capability": (7, 5)})
    assert spec(device=turing).request.capabilities == ("sm_75",)
    with pytest.raises(
        BackendUnavailable, match=r"serves sm_80, .* in int8, and Tesla T4 is sm_75: use backend"
    ):
        spec(device=turing, precision="int8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "rt-x"}, "no model 'rt-x'"),
        ({"model": "mallenet-s", "precision": "int8"}, "mallenet-s has no int8 graph; it has: fp16"),
        ({"precision": "bf16"}, "no precision 'bf16'; there are: fp16, int8, fp32"),
    ],
)
def test_what_is_not_at_hand_is_named(changes, words):
    with pytest.raises(ConfigError, match=words):
        spec(**changes)


def test_the_profile_of_tiles_is_for_photographs():
    with pytest.raises(ConfigError, match="profile photo is for networks for photographs, and rt-s is none"):
        specify(load_flavour("tensorrt-rtx"), load_profile("photo"), None, model="rt-s")


def test_a_model_without_a_precision_says_what_it_has(tmp_path, monkeypatch):
    (tmp_path / "rt-y.onnx").write_bytes(graph_file("rt-s", "fp32").read_bytes())
    monkeypatch.setattr("malle_rt.models.engines_folder", lambda: tmp_path)
    with pytest.raises(ConfigError, match="model rt-y has no int8 graph; it has: fp32"):
        spec(model="rt-y", precision="int8")


@pytest.mark.slow
def test_builds_the_first_time_and_only_then(cache, caplog):
    first = ready_engine(spec(), cache, load=len)
    assert first.built is not None
    assert first.reason == "there is no engine for it yet"
    assert "building the engine rt-s-fp16-64x64-tensorrt-rtx" in caplog.text
    again = ready_engine(spec(), cache, load=len)
    assert (again.built, again.reason, again.path, again.loaded) == (None, "", first.path, first.loaded)


@pytest.mark.slow
def test_builds_anew_when_asked(cache):
    ready_engine(spec(), cache, load=len)
    told = []
    assert ready_engine(spec(), cache, load=len, force=True, building=told.append).built
    assert told == ["asked for"]


@pytest.mark.slow
def test_a_damaged_engine_is_built_anew_once(cache):
    path = ready_engine(spec(), cache, load=len).path
    path.write_bytes(path.read_bytes()[:-100])
    told = []
    assert ready_engine(spec(), cache, load=len, building=told.append).built
    assert ready_engine(spec(), cache, load=len, building=told.append).built is None
    assert told == ["the engine in the cache is damaged"]


@pytest.mark.slow
def test_one_of_another_driver_is_built_anew_and_says_why(cache, caplog):
    older = DeviceInfo(**{**vars(RTX_4070), "driver": 12080})
    ready_engine(spec(device=older), cache, load=len)
    caplog.clear()
    assert ready_engine(spec(device=RTX_4070), cache, load=len).built
    assert "the engine in the cache was built under CUDA driver 12.8, this is 13.0" in caplog.text
    assert len(list(cache.folder.glob("*.engine"))) == 1


@pytest.mark.slow
def test_one_that_does_not_load_is_built_anew_once(cache):
    ready_engine(spec(), cache, load=len)
    loads, told = [], []

    def refuse_once(engine):
        loads.append(engine)
        if len(loads) == 1:
            raise EngineMismatch("serialised by another version")
        return len(engine)

    assert ready_engine(spec(), cache, load=refuse_once, building=told.append).built
    assert told == ["the one in the cache does not load: serialised by another version"]


@pytest.mark.slow
def test_when_the_new_one_does_not_load_either_there_is_no_loop(cache):
    builds = []

    def refuse(engine):
        raise EngineMismatch("never")

    for _ in range(2):
        with pytest.raises(EngineMismatch, match="never"):
            ready_engine(spec(), cache, load=refuse, building=builds.append)
    assert len(builds) == 2


@pytest.mark.slow
def test_an_engine_that_fails_its_check_is_not_kept(cache):
    def check(engine):
        raise BackendError("PSNR 12 dB against the reference")

    with pytest.raises(BackendError, match="PSNR 12 dB"):
        ready_engine(spec(), cache, load=len, check=check)
    assert cache.find(spec().identity) is None


@pytest.mark.slow
def test_two_at_once_build_one_engine(cache, caplog):
    found = []

    def run():
        found.append(ready_engine(spec(), EngineCache(cache.folder), load=len))

    with caplog.at_level(logging.WARNING):
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert [ready.built is not None for ready in sorted(found, key=lambda each: each.built is None)] == [
        True,
        False,
    ]
    assert caplog.text.count("building the engine") == 1
    assert found[0].loaded == found[1].loaded


def test_a_network_without_a_float32_graph_is_widened():
    assert spec(model="rt-m", precision="fp32").request.widen
    assert spec(model="rt-m", precision="fp32").request.graph == graph_file("rt-m", "fp16")
    assert not spec(model="rt-m").request.widen
