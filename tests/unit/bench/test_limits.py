import pytest
from helpers.bench import row

from malle_rt.bench.limits import measure_limits
from malle_rt.bench.rows import with_roofline
from malle_rt.bench.work import count_work
from malle_rt.models import model_file, model_names


@pytest.mark.parametrize("model", model_names())
def test_the_graph_s_work_is_the_network_s(model):
    pytest.importorskip("torch")
    from malle_rt.net.cost import rt_kmac_per_pixel
    from malle_rt.net.weights import load_rt

    counted = count_work(model, 640, 360).macs / (640 * 360)
    # The network's count has the interpolation of the kernels in it, the graph's has only their application.
    whole = rt_kmac_per_pixel(load_rt(model_file(model, ".safetensors"))) * 1e3
    assert counted == pytest.approx(whole, rel=0.03)


def test_work_of_a_network_for_photographs_is_counted():
    counted = count_work("mallenet-s", 640, 384)
    assert 7e3 < counted.macs / (640 * 384) < 10e3


@pytest.mark.slow
def test_the_processor_has_limits_and_integers_are_no_slower():
    rates = measure_limits()
    assert set(rates) == {"copy_gb_per_s", "int8_gmac_per_s", "fp32_gmac_per_s"}
    assert min(rates.values()) > 0.1


def test_the_roofline_is_the_longer_of_compute_and_memory():
    work = [{"model": "rt-s", "width": 1280, "height": 720, "macs": 6 * 10**9, "values": 10**8}]
    found = with_roofline(row(), work, {"fp32_gmac_per_s": 600, "copy_gb_per_s": 50}).roofline
    assert (found.limit_ms, found.bound, found.bytes) == (10, "compute", 4 * 10**8)
    assert found.share == pytest.approx(0.5)
    slow = with_roofline(row(), work, {"fp32_gmac_per_s": 600, "copy_gb_per_s": 20}).roofline
    assert (slow.limit_ms, slow.bound) == (20, "memory")
