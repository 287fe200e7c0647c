// What both gradients need to know of where the grid's cells meet the pixels, over what malle_slice.cpp has of it.
#pragma once

// The kernel itself, not its header: its inner parts are what the gradients are made of, and only what is inlined is
// compiled for the instruction set that is picked. So kernel and gradients are one unit, kernels.cpp.
#include "malle_slice.cpp"

namespace malle {
namespace {

// A stretch is the `stride` pixels between the centres of two neighbouring cells. The first one of a row, and of a
// column, begins outside: how many pixels before the first one.
std::size_t cut(const SliceDims& dims) noexcept { return dims.stride - dims.stride / 2; }

// How far along a stretch each of its pixels is.
void write_fractions(const SliceDims& dims, float* fractions) noexcept {
    for (std::size_t i = 0; i < dims.stride; ++i) fractions[i] = Position(i + dims.stride / 2, dims.stride).fraction;
}

}  // namespace
}  // namespace malle
