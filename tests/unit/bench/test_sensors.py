import time

import pytest

from malle_rt.bench.sensors import Reading, Sensors, parse_smi


@pytest.fixture
def write(tmp_path):
    def to(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return to


def test_a_machine_that_tells_nothing_reads_nothing(tmp_path):
    assert Sensors(root=tmp_path).stop() == Reading()


def test_power_is_the_energy_of_all_packages_over_time(tmp_path, write):
    write("sys/class/powercap/intel-rapl:0/energy_uj", "1000000\n")
    write("sys/class/powercap/intel-rapl:1/energy_uj", "5000000\n")
    write("sys/class/powercap/intel-rapl:0:0/energy_uj", "77\n")  # a part of package 0
    begin = time.perf_counter()
    sensors = Sensors(root=tmp_path)
    write("sys/class/powercap/intel-rapl:1/energy_uj", "6000000\n")
    time.sleep(0.05)
    watts = sensors.stop().watts
    assert 1 / (time.perf_counter() - begin) <= watts <= 1 / 0.05


def test_a_counter_that_wrapped_is_not_read(tmp_path, write):
    write("sys/class/powercap/intel-rapl:0/energy_uj", "1000000\n")
    sensors = Sensors(root=tmp_path)
    write("sys/class/powercap/intel-rapl:0/energy_uj", "5\n")
    assert sensors.stop().watts is None


def test_a_jetson_tells_volts_amperes_and_heat(tmp_path, write):
    write("sys/class/hwmon/hwmon3/in1_label", "VDD_IN\n")
    write("sys/class/hwmon/hwmon3/in1_input", "5000\n")
    write("sys/class/hwmon/hwmon3/curr1_input", "2400\n")
    write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    write("sys/class/thermal/thermal_zone0/temp", "48500\n")
    write("sys/class/thermal/thermal_zone1/type", "battery\n")
    write("sys/class/thermal/thermal_zone1/temp", "90000\n")
    assert Sensors(root=tmp_path).stop() == Reading(watts=12.0, celsius=48.5)


@pytest.mark.slow
def test_gpu_memory_counts_from_before_the_backend(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text(
        "#!/bin/sh\necho 70.0, 40, 500; echo 90.0, 44, 900\ncase $* in *loop*) exec sleep 9;; esac\n"
    )
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    sensors = Sensors(gpu=1, before=[0.0, 300.0], root=tmp_path)
    time.sleep(0.5)
    assert sensors.stop() == Reading(gpu_watts=80.0, gpu_celsius=44.0, gpu_mib=600.0)


def test_what_nvidia_smi_does_not_tell_is_left_out():
    lines = ["71.5, 41, 300", "[N/A], 43, 900", "80.5, 44"]
    assert parse_smi(lines) == ([71.5, 80.5], [41.0, 43.0, 44.0], [300.0, 900.0])
