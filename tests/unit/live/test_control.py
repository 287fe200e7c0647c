"""Strength and mix while a session runs."""

import threading

import pytest

from malle_rt.errors import ConfigError
from malle_rt.live.control import Controls, Tuning


def test_it_begins_as_told():
    assert Controls().tuning == Tuning(strength="auto", mix=1.0)
    assert Controls(Tuning(strength=12, mix=0.5)).tuning == Tuning(strength=12, mix=0.5)


@pytest.mark.parametrize("strength", [-1, 75.1, float("nan")])
def test_a_strength_out_of_range_is_refused_and_changes_nothing(strength):
    controls = Controls(Tuning(strength=5))
    with pytest.raises(ConfigError, match="strength must be auto, light, medium, strong or 0 to 75"):
        controls.set_strength(strength)
    assert controls.tuning.strength == 5


@pytest.mark.parametrize("mix", [-0.1, 1.1, float("nan")])
def test_a_mix_out_of_range_is_refused(mix):
    controls = Controls()
    with pytest.raises(ConfigError, match="mix must be 0 to 1"):
        controls.set_mix(mix)
    assert controls.tuning.mix == 1


def test_a_change_by_hand_begins_at_what_was_used():
    controls = Controls()
    controls.note_used(17.0)
    controls.change_strength(2)
    assert controls.tuning.strength == 19
    controls.change_strength(-30)
    assert controls.tuning.strength == 0
    controls.change_strength(200)
    assert controls.tuning.strength == 75


def test_automatic_off_stays_at_what_was_used():
    controls = Controls()
    controls.note_used(17.26)
    controls.toggle_auto()
    assert controls.tuning.strength == 17.3
    controls.toggle_auto()
    assert controls.tuning.strength == "auto"


def test_the_mix_stops_at_its_ends():
    controls = Controls()
    for _ in range(12):
        controls.change_mix(-0.1)
    assert controls.tuning.mix == 0
    for _ in range(12):
        controls.change_mix(0.1)
    assert controls.tuning.mix == 1


def test_changes_from_many_threads_are_all_made():
    controls = Controls(Tuning(strength=0))
    threads = [
        threading.Thread(target=lambda: [controls.change_strength(0.25) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert controls.tuning.strength == 50
