#include "slice_gradient.hpp"
#include "stretches.hpp"

// A pixel of x reaches the pixels around it, each through that pixel's own kernel and the tap that points back. So
// this gradient is itself a slice, of the gradient of y: the kernel of a pixel is gathered from its neighbours', taps
// in reverse order, and has no bias.

namespace malle {
namespace {

// Scratch memory of one x_gradient_rows call, in floats from its start, where a row for each tap lies and one of zeros.
struct GatherLayout {
    std::size_t origin;     // where in a tap's row the first pixel lies
    std::size_t pitch;      // from one tap's row to the next
    std::size_t cells;      // one grid row after vertical interpolation, one clamped cell on each side
    std::size_t fractions;  // Phases::fraction of each i
    std::size_t total;

    explicit GatherLayout(const SliceDims& dims) noexcept {
        // Expansion begins up to a stretch before the first pixel and ends up to one after the last, a neighbour's
        // row is shifted by up to `reach` to either side, and the last block of pixels may be read past its end.
        const std::size_t reach = dims.kernel_size / 2;
        origin = reach + dims.stride;
        pitch = origin + round_up(dims.width() + dims.stride + reach, kBlock);
        cells = pitch * (dims.taps() + 1);
        fractions = cells + round_up(dims.grid_width + 2, kBlock);
        total = fractions + dims.stride;
    }
};

MALLE_INLINE void expand_any_stride(const float* cells, const float* fractions, std::size_t width, std::size_t stride,
                                    float* out) {
    switch (stride) {
        case 1: return expand_cells<1>(cells, fractions, width, stride, out);
        case 2: return expand_cells<2>(cells, fractions, width, stride, out);
        case 4: return expand_cells<4>(cells, fractions, width, stride, out);
        case 8: return expand_cells<8>(cells, fractions, width, stride, out);
        default: return expand_cells<0>(cells, fractions, width, stride, out);
    }
}

// The kernels of one row of x: each tap's from the row that it points back to, shifted so that what belongs to pixel
// i of x lies at `origin` + i.
MALLE_INLINE void gather_row(const float* grid, const SliceDims& dims, std::size_t row, const GatherLayout& layout,
                             float* scratch) {
    const std::size_t size = dims.kernel_size, reach = size / 2;
    const std::size_t width = dims.grid_width, plane = dims.grid_height * width;
    float* cells = scratch + layout.cells;
    for (std::size_t r = 0; r < size; ++r) {
        const std::size_t line = row + r;  // counted from `reach` rows above x
        // The gradient is zero there, whatever an earlier row has left.
        if (line < reach || line - reach >= dims.height()) continue;
        const GridRows rows(dims, line - reach);
        for (std::size_t c = 0; c < size; ++c) {
            const std::size_t tap = r * size + c;
            const float* values = grid + (dims.taps() - 1 - tap) * plane;
            float* out = scratch + tap * layout.pitch + layout.origin + reach - c - cut(dims);
            blend_rows(values + rows.upper * width, values + rows.lower * width, rows.fraction, width, cells);
            expand_any_stride(cells, scratch + layout.fractions, width, dims.stride, out);
        }
    }
}

template <std::size_t K>
MALLE_INLINE void x_gradient_items(const float* grad, const float* grid, float* grad_x, const SliceDims& dims,
                                   std::size_t first, std::size_t last, float* scratch) {
    const GatherLayout layout(dims);
    // Pixels outside count as zero but are multiplied all the same: where nothing is expanded to must be numbers.
    std::memset(scratch, 0, layout.cells * sizeof(float));
    write_fractions(dims, scratch + layout.fractions);
    const float* zeros = scratch + K * K * layout.pitch;
    const std::size_t shared = dims.channels / dims.groups * dims.height() * dims.width();
    const std::size_t kernels = (K * K + 1) * dims.grid_height * dims.grid_width;
    for (std::size_t item = first; item < last; ++item) {
        const std::size_t group = item / dims.height(), row = item % dims.height();
        gather_row(grid + group * kernels, dims, row, layout, scratch);
        sum_row<K>(grad + group * shared, grad_x + group * shared, dims, row, scratch + layout.origin, layout.pitch,
                   zeros);
    }
}

}  // namespace

std::size_t x_gradient_scratch(const SliceDims& dims) noexcept { return GatherLayout(dims).total; }

MALLE_MULTIVERSION
void x_gradient_rows(const float* grad, const float* grid, float* grad_x, const SliceDims& dims, std::size_t first,
                     std::size_t last, float* scratch) noexcept {
    switch (dims.kernel_size) {
        case 1: return x_gradient_items<1>(grad, grid, grad_x, dims, first, last, scratch);
        case 3: return x_gradient_items<3>(grad, grid, grad_x, dims, first, last, scratch);
        default: return x_gradient_items<5>(grad, grid, grad_x, dims, first, last, scratch);
    }
}

}  // namespace malle
