// The gradients of malle_slice on the CPU, for training. Like the kernel itself they know no torch: pointers, sizes
// and a range of work, so the caller brings its own threads and its own scratch memory.
#pragma once

#include <cstddef>

#include "malle_slice.hpp"

namespace malle {

// Floats of scratch memory that one call of x_gradient_rows needs; calls that run at once need one each.
std::size_t x_gradient_scratch(const SliceDims& dims) noexcept;

// Write the items [first, last) of grad_x, counted like those of y: dims.items() in all. grad is the gradient with
// respect to y; it and grad_x have the shape of y. Neither allocates nor throws.
void x_gradient_rows(const float* grad, const float* grid, float* grad_x, const SliceDims& dims, std::size_t first,
                     std::size_t last, float* scratch) noexcept;

// One item of the grid's gradient is one row of cells of all the taps and the bias of a group; items are independent.
std::size_t grid_items(const SliceDims& dims) noexcept;

// Floats of scratch memory that one call of grid_gradient_rows needs; calls that run at once need one each.
std::size_t grid_gradient_scratch(const SliceDims& dims) noexcept;

// Write the items [first, last) of grad_grid, which has the shape of grid. Neighbouring items share work, so long
// ranges are faster. Neither allocates nor throws.
void grid_gradient_rows(const float* grad, const float* x, float* grad_grid, const SliceDims& dims, std::size_t first,
                        std::size_t last, float* scratch) noexcept;

}  // namespace malle
