#include "slice_gradient.hpp"
#include "stretches.hpp"

// A pixel of x reaches the pixels around it, each through that pixel's own kernel and the tap that points back. So
// this gradient is itself a slice, of the gradient of y: the kernel of a pixel is gathered from its neighbours', taps
// in reverse order, and has no bias.

namespace malle {
namespace {

// Pixels whose sums stay in registers while all taps are added: two AVX-512 or four AVX2 registers.
constexpr std::size_t kPixels = 32;

// Scratch memory of one x_gradient_rows call, in floats from its start, where a row for each tap lies and one of zeros.
struct GatherLayout {
    std::size_t origin;     // where in a tap's row the first pixel lies
    std::size_t pitch;      // from one tap's row to the next
    std::size_t cells;      // one grid row after vertical interpolation, one clamped cell on each side
    std::size_t fractions;  // of each pixel of a stretch
    std::size_t total;

    explicit GatherLayout(const SliceDims& dims) noexcept {
        // Expansion begins up to a stretch before the first pixel and ends up to one after the last, a neighbour's
        // row is shifted by up to `reach` to either side, and the last block of pixels may be read past its end.
        const std::size_t reach = dims.kernel_size / 2;
        origin = reach + dims.stride;
        pitch = origin + round_up(dims.width() + dims.stride + reach, kPixels);
        cells = pitch * (dims.taps() + 1);
        fractions = cells + round_up(dims.grid_width + 2, kPixels);
        total = fractions + dims.stride;
    }
};

// Expand cells to (width + 1) stretches. Stride is a constant where it pays, 0 to take it from `stride`.
template <std::size_t Stride>
MALLE_INLINE void expand_cells(const float* __restrict cells, const float* __restrict fractions, std::size_t width,
                               std::size_t stride, float* __restrict out) {
    const std::size_t step = Stride ? Stride : stride;
    for (std::size_t cell = 0; cell <= width; ++cell) {
        const float start = cells[cell], slope = cells[cell + 1] - start;
        for (std::size_t i = 0; i < step; ++i) out[cell * step + i] = start + slope * fractions[i];
    }
}

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

template <std::size_t K>
struct Window {
    const float* rows[K];  // rows[r][i + c] is what tap (r, c) multiplies at pixel i of the block
};

// Sum all taps of one block of pixels.
template <std::size_t K>
MALLE_INLINE void sum_gathered_block(const Window<K>& window, const float* __restrict kernels, std::size_t pitch,
                                     float* __restrict out) {
    float sums[kPixels] = {};
#pragma GCC unroll 25
    for (std::size_t tap = 0; tap < K * K; ++tap) {
        const float* __restrict pixels = window.rows[tap / K] + tap % K;
        const float* __restrict kernel = kernels + tap * pitch;
        for (std::size_t i = 0; i < kPixels; ++i) sums[i] += kernel[i] * pixels[i];
    }
    for (std::size_t i = 0; i < kPixels; ++i) out[i] = sums[i];
}

// The same for a block that reaches over the left or right edge: through zero-padded copies.
template <std::size_t K>
MALLE_INLINE void sum_edge_block(const Window<K>& lines, std::size_t start, std::size_t width,
                                 const float* __restrict kernels, std::size_t pitch, float* __restrict out) {
    constexpr std::size_t reach = K / 2;
    float padded[K][kPixels + 2 * reach] = {};
    float sums[kPixels];
    const std::size_t skipped = start < reach ? reach - start : 0;
    const std::size_t from = start + skipped - reach;
    const std::size_t count = std::min(width, start + kPixels + reach) - from;
    Window<K> window;
    for (std::size_t r = 0; r < K; ++r) {
        std::memcpy(padded[r] + skipped, lines.rows[r] + from, count * sizeof(float));
        window.rows[r] = padded[r];
    }
    sum_gathered_block<K>(window, kernels, pitch, sums);
    std::memcpy(out, sums, std::min(kPixels, width - start) * sizeof(float));
}

template <std::size_t K>
MALLE_INLINE void sum_gathered_row(const float* x, float* y, const SliceDims& dims, std::size_t row,
                                   const float* kernels, std::size_t pitch, const float* zeros) {
    constexpr std::size_t reach = K / 2;
    const std::size_t height = dims.height(), width = dims.width(), plane = height * width;
    const std::size_t sharing = dims.channels / dims.groups;
    // Blocks outside, channels inside: the block's kernels stay in the first-level cache for all of them.
    for (std::size_t start = 0; start < width; start += kPixels) {
        const bool inside = start >= reach && start + kPixels + reach <= width;
        for (std::size_t channel = 0; channel < sharing; ++channel) {
            Window<K> lines;
            for (std::size_t r = 0; r < K; ++r) {
                const std::size_t line = row + r;  // counted from `reach` rows above x
                const bool outside = line < reach || line - reach >= height;
                lines.rows[r] = outside ? zeros : x + channel * plane + (line - reach) * width;
            }
            float* out = y + channel * plane + row * width + start;
            if (!inside) {
                sum_edge_block<K>(lines, start, width, kernels + start, pitch, out);
                continue;
            }
            for (std::size_t r = 0; r < K; ++r) lines.rows[r] += start - reach;
            sum_gathered_block<K>(lines, kernels + start, pitch, out);
        }
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
        const Position position(line - reach, dims.stride);
        const std::size_t upper = position.next == 0 ? 0 : position.next - 1;
        const std::size_t lower = std::min(position.next, dims.grid_height - 1);
        for (std::size_t c = 0; c < size; ++c) {
            const std::size_t tap = r * size + c;
            const float* values = grid + (dims.taps() - 1 - tap) * plane;
            float* out = scratch + tap * layout.pitch + layout.origin + reach - c - cut(dims);
            blend_rows(values + upper * width, values + lower * width, position.fraction, width, cells);
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
        sum_gathered_row<K>(grad + group * shared, grad_x + group * shared, dims, row, scratch + layout.origin,
                            layout.pitch, zeros);
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
