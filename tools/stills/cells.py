"""The networks of the study by name."""

from __future__ import annotations

from dataclasses import replace

from stills.backbones import BackboneConfig, matched

__all__ = ["ABLATED", "SIZES", "ablation", "cells"]

SIZES = {"small": BackboneConfig(depth=6, width=32), "large": BackboneConfig(depth=10, width=48)}
ABLATED = "small"


def cells() -> dict[str, BackboneConfig]:
    """What is trained, in an order that answers the first question first.

    For each size: ``plain``; ``malle``, with one of its convolutions replaced; ``matched``, plain at the cost of
    ``malle``; ``wider``, plain at a higher cost. The three plain ones make the curve that ``malle`` is read against.
    """
    made: dict[str, BackboneConfig] = {}
    for name, plain in SIZES.items():
        malle = replace(plain, malle=1)
        made[f"{name}-malle"] = malle
        made[f"{name}-matched"] = matched(malle)
        made[f"{name}-plain"] = plain
        made[f"{name}-wider"] = replace(plain, width=plain.width + 8)
    return made | {name: config for names in ablation().values() for name, config in names.items()}


def ablation() -> dict[str, dict[str, BackboneConfig]]:
    """One property changed at a time: property to cells, their common middle included."""
    plain = SIZES[ABLATED]
    base = replace(plain, malle=1)
    middle = f"{ABLATED}-malle"
    return {
        "kernel size K": {
            f"{ABLATED}-k1": replace(base, kernel_size=1),
            middle: base,
            f"{ABLATED}-k5": replace(base, kernel_size=5),
        },
        "grid stride": {
            f"{ABLATED}-s4": replace(base, stride=4),
            middle: base,
            f"{ABLATED}-s16": replace(base, stride=16),
        },
        "MalleConvs": {f"{ABLATED}-plain": plain, middle: base, f"{ABLATED}-two": replace(base, malle=2)},
    }
