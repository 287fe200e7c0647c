#include "malle_slice.hpp"

#include <algorithm>
#include <cstring>

// slice_rows is compiled once per instruction set and the loader picks one. Arithmetic is all float, so AVX-512F or
// FMA (which brings AVX) is all that matters, and names that old compilers know too. Elsewhere the compiler's own
// target is used; NEON is always there on aarch64. Picking takes glibc's loader.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define MALLE_MULTIVERSION __attribute__((target_clones("avx512f", "fma", "default")))
#endif
#endif
#ifndef MALLE_MULTIVERSION
#define MALLE_MULTIVERSION
#endif
// Only code inlined into slice_rows is compiled for the instruction set that was picked.
#define MALLE_INLINE inline __attribute__((always_inline))

namespace malle {
namespace {

// Pixels whose sums stay in registers while all taps are added: two AVX-512 or four AVX2 registers.
constexpr std::size_t kBlock = 32;

constexpr std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

// Where coordinates of the full size fall on the grid, with half-pixel centres. The stretch of `stride` pixels
// from X * stride + lead() on is interpolated between cells X and X + 1, at the same fractions for every X.
struct Phases {
    std::size_t stride;

    std::size_t lead() const noexcept { return stride / 2; }
    float fraction(std::size_t i) const noexcept {
        return (static_cast<float>(i + lead()) + 0.5F) / static_cast<float>(stride) - 0.5F;
    }
};

// Scratch memory of one slice_rows call, in floats from its start.
struct Layout {
    std::size_t kernel_pitch;  // from one tap's kernel row to the next
    std::size_t zeros;         // a row of zeros as wide as x, standing in for rows outside of it
    std::size_t cells;         // one grid row after vertical interpolation, one clamped cell on each side
    std::size_t fractions;     // Phases::fraction of each i
    std::size_t total;

    explicit Layout(const SliceDims& dims) noexcept {
        // Expansion writes one stretch more than the width; the last block may read up to a block past it.
        kernel_pitch = round_up(dims.width() + dims.stride, kBlock) + kBlock;
        zeros = kernel_pitch * (dims.taps() + 1);
        cells = zeros + round_up(dims.width(), kBlock);
        fractions = cells + round_up(dims.grid_width + 2, kBlock);
        total = fractions + dims.stride;
    }
};

// Interpolate one grid row between `upper` and `lower` into cells[1 .. width], edges clamped.
MALLE_INLINE void blend_rows(const float* __restrict upper, const float* __restrict lower, float fraction,
                             std::size_t width, float* __restrict cells) {
    for (std::size_t i = 0; i < width; ++i) cells[i + 1] = upper[i] + (lower[i] - upper[i]) * fraction;
    cells[0] = cells[1];
    cells[width + 1] = cells[width];
}

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

template <std::size_t K>
struct Window {
    const float* rows[K];  // rows[r][i + c] is what tap (r, c) multiplies at pixel i of the block
};

// Sum all taps and the bias of one block of pixels.
template <std::size_t K>
MALLE_INLINE void sum_block(const Window<K>& window, const float* __restrict kernels, std::size_t pitch,
                            float* __restrict out) {
    float sums[kBlock];
    for (std::size_t i = 0; i < kBlock; ++i) sums[i] = kernels[K * K * pitch + i];
#pragma GCC unroll 25
    for (std::size_t tap = 0; tap < K * K; ++tap) {
        const float* __restrict pixels = window.rows[tap / K] + tap % K;
        const float* __restrict kernel = kernels + tap * pitch;
        for (std::size_t i = 0; i < kBlock; ++i) sums[i] += kernel[i] * pixels[i];
    }
    for (std::size_t i = 0; i < kBlock; ++i) out[i] = sums[i];
}

// The same for a block that reaches over the left or right edge: through zero-padded copies.
template <std::size_t K>
MALLE_INLINE void sum_edge_block(const Window<K>& lines, std::size_t start, std::size_t width,
                                 const float* __restrict kernels, std::size_t pitch, float* __restrict out) {
    constexpr std::size_t reach = K / 2;
    float padded[K][kBlock + 2 * reach] = {};
    float sums[kBlock];
    const std::size_t skipped = start < reach ? reach - start : 0;
    const std::size_t from = start + skipped - reach;
    const std::size_t count = std::min(width, start + kBlock + reach) - from;
    Window<K> window;
    for (std::size_t r = 0; r < K; ++r) {
        std::memcpy(padded[r] + skipped, lines.rows[r] + from, count * sizeof(float));
        window.rows[r] = padded[r];
    }
    sum_block<K>(window, kernels, pitch, sums);
    std::memcpy(out, sums, std::min(kBlock, width - start) * sizeof(float));
}

template <std::size_t K>
MALLE_INLINE void sum_row(const float* x, float* y, const SliceDims& dims, std::size_t row, const float* kernels,
                          std::size_t pitch, const float* zeros) {
    constexpr std::size_t reach = K / 2;
    const std::size_t height = dims.height(), width = dims.width(), plane = height * width;
    const std::size_t sharing = dims.channels / dims.groups;
    // Blocks outside, channels inside: the block's kernels stay in the first-level cache for all of them.
    for (std::size_t start = 0; start < width; start += kBlock) {
        const bool inside = start >= reach && start + kBlock + reach <= width;
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
            sum_block<K>(lines, kernels + start, pitch, out);
        }
    }
}

// Where one output row reads the grid: two grid rows and the fraction between them.
struct GridRows {
    std::size_t upper;
    std::size_t lower;
    float fraction;

    GridRows(const SliceDims& dims, std::size_t row) noexcept {
        const Phases phases{dims.stride};
        const std::size_t shifted = row + dims.stride - phases.lead();  // never negative: one cell further
        const std::size_t cell = shifted / dims.stride;
        upper = cell == 0 ? 0 : cell - 1;
        lower = std::min(cell, dims.grid_height - 1);
        fraction = phases.fraction(shifted % dims.stride);
    }
};

// The kernels of one output row, a row of `kernel_pitch` floats for each tap and one for the bias.
template <std::size_t Stride>
MALLE_INLINE void expand_row(const float* grid, const SliceDims& dims, std::size_t row, const Layout& layout,
                             float* scratch) {
    const std::size_t width = dims.grid_width, plane = dims.grid_height * width;
    const GridRows rows(dims, row);
    float* cells = scratch + layout.cells;
    for (std::size_t tap = 0; tap <= dims.taps(); ++tap) {
        const float* values = grid + tap * plane;
        float* out = scratch + tap * layout.kernel_pitch;
        if (Stride == 1) {
            std::memcpy(out, values + row * width, width * sizeof(float));
            continue;
        }
        blend_rows(values + rows.upper * width, values + rows.lower * width, rows.fraction, width, cells);
        expand_cells<Stride>(cells, scratch + layout.fractions, width, dims.stride, out);
    }
}

template <std::size_t K, std::size_t Stride>
MALLE_INLINE void slice_items(const float* x, const float* grid, float* y, const SliceDims& dims, std::size_t first,
                              std::size_t last, float* scratch) {
    const Layout layout(dims);
    const Phases phases{dims.stride};
    for (std::size_t i = 0; i < dims.stride; ++i) scratch[layout.fractions + i] = phases.fraction(i);
    std::memset(scratch + layout.zeros, 0, dims.width() * sizeof(float));
    const std::size_t shared = dims.channels / dims.groups * dims.height() * dims.width();
    const std::size_t kernels = (K * K + 1) * dims.grid_height * dims.grid_width;
    const float* row_kernels = scratch + (Stride == 1 ? 0 : dims.stride - phases.lead());
    for (std::size_t item = first; item < last; ++item) {
        const std::size_t group = item / dims.height(), row = item % dims.height();
        expand_row<Stride>(grid + group * kernels, dims, row, layout, scratch);
        sum_row<K>(x + group * shared, y + group * shared, dims, row, row_kernels, layout.kernel_pitch,
                   scratch + layout.zeros);
    }
}

template <std::size_t K>
MALLE_INLINE void slice_any_stride(const float* x, const float* grid, float* y, const SliceDims& dims,
                                   std::size_t first, std::size_t last, float* scratch) {
    switch (dims.stride) {
        case 1: return slice_items<K, 1>(x, grid, y, dims, first, last, scratch);
        case 2: return slice_items<K, 2>(x, grid, y, dims, first, last, scratch);
        case 4: return slice_items<K, 4>(x, grid, y, dims, first, last, scratch);
        case 8: return slice_items<K, 8>(x, grid, y, dims, first, last, scratch);
        default: return slice_items<K, 0>(x, grid, y, dims, first, last, scratch);
    }
}

}  // namespace

std::size_t scratch_floats(const SliceDims& dims) noexcept { return Layout(dims).total; }

MALLE_MULTIVERSION
void slice_rows(const float* x, const float* grid, float* y, const SliceDims& dims, std::size_t first,
                std::size_t last, float* scratch) noexcept {
    switch (dims.kernel_size) {
        case 1: return slice_any_stride<1>(x, grid, y, dims, first, last, scratch);
        case 3: return slice_any_stride<3>(x, grid, y, dims, first, last, scratch);
        default: return slice_any_stride<5>(x, grid, y, dims, first, last, scratch);
    }
}

}  // namespace malle
