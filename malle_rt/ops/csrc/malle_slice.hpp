// The CPU kernel of malle_slice. It knows neither torch nor OpenVINO: pointers, sizes and a range of work,
// so the caller brings its own threads and its own scratch memory.
#pragma once

#include <cstddef>

namespace malle {

// x and y are [batch, channels, grid_height * stride, grid_width * stride]; grid is
// [batch, groups * (kernel_size^2 + 1), grid_height, grid_width], or, channels last,
// [batch, grid_height, grid_width, groups * (kernel_size^2 + 1)]. All dense float32. groups divides channels.
struct SliceDims {
    std::size_t batch;
    std::size_t channels;
    std::size_t groups;
    std::size_t grid_height;
    std::size_t grid_width;
    std::size_t stride;
    std::size_t kernel_size;  // 1, 3 or 5
    bool channels_last = false;  // of the grid

    std::size_t height() const noexcept { return grid_height * stride; }
    std::size_t width() const noexcept { return grid_width * stride; }
    std::size_t taps() const noexcept { return kernel_size * kernel_size; }
    std::size_t values() const noexcept { return taps() + 1; }  // of one group in one cell

    // One item is one output row of all the channels that share a kernel; items are independent.
    std::size_t items() const noexcept { return batch * groups * height(); }
};

// Floats of scratch memory that one call of slice_rows needs; calls that run at once need one each.
std::size_t scratch_floats(const SliceDims& dims) noexcept;

// Write the items [first, last) of y. Neither allocates nor throws.
void slice_rows(const float* x, const float* grid, float* y, const SliceDims& dims, std::size_t first,
                std::size_t last, float* scratch) noexcept;

}  // namespace malle
