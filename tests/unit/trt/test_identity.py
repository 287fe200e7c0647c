import json
from dataclasses import fields

import pytest
from helpers.trt import IDENTITY, identity

from malle_rt.cuda.driver import DeviceInfo
from malle_rt.errors import EngineMismatch
from malle_rt.trt.identity import ANY_GPU, EngineIdentity, gpu_fields


def test_survives_its_file():
    assert EngineIdentity.from_fields(json.loads(IDENTITY.to_json())) == IDENTITY


def test_every_field_makes_another_file():
    for field in fields(EngineIdentity):
        assert identity(**{field.name: "other"}).file_name != IDENTITY.file_name


def test_its_file_name_reads_and_holds_nothing_odd():
    name = identity(gpu="NVIDIA ../T4 (x)").file_name
    assert name.startswith("rt-s-fp16-720p-tensorrt_10.3.0-NVIDIA_T4_x-")
    assert "/" not in name
    assert " " not in name


def test_names_exactly_what_differs():
    here = identity(version="10.7.0", driver="13.0", graph="b" * 64)
    assert IDENTITY.differences(here) == [
        "built with TensorRT 10.3.0, this is 10.7.0",
        "built under CUDA driver 12.6, this is 13.0",
        "built from graph aaaaaaaaaaaa, this is bbbbbbbbbbbb",
    ]
    with pytest.raises(
        EngineMismatch, match=r"rt-s-fp16-720p was built with TensorRT 10.3.0, this is 10.7.0;"
    ):
        IDENTITY.check(here)
    assert IDENTITY.differences(IDENTITY) == []


def test_one_built_without_a_gpu_fits_every_gpu_it_was_built_for():
    anywhere = identity(gpu=ANY_GPU, capability="sm_75 sm_89", driver="none")
    assert anywhere.differences(IDENTITY) == []
    assert anywhere.differences(identity(capability="sm_90", kernels="1234")) == [
        "built for compute capability sm_75 sm_89, this is sm_90"
    ]
    assert len(IDENTITY.differences(anywhere)) == 3


@pytest.mark.parametrize("values", [None, {}, {"model": "rt-s"}, {**vars(IDENTITY), "new": "field"}, [1]])
def test_descriptions_of_other_versions_are_refused(values):
    with pytest.raises(EngineMismatch, match="another version of malle-rt"):
        EngineIdentity.from_fields(values)


def test_what_the_gpu_adds():
    device = DeviceInfo(index=0, name="Tesla T4", capability=(7, 5), driver=12060, memory=2**34)
    assert gpu_fields(device, []) == {"gpu": "Tesla T4", "capability": "sm_75", "driver": "12.6"}
    nobody = {"gpu": ANY_GPU, "capability": "sm_75 sm_89", "driver": "none"}
    assert gpu_fields(None, ["sm_75", "sm_89"]) == nobody
