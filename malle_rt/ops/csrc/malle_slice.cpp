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
// Elements of two vectors by number, the second one's after the first one's; older versions of GCC name it otherwise.
#if defined(__clang__) || __GNUC__ >= 12
#define MALLE_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MALLE_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Indices{__VA_ARGS__})
#endif

namespace malle {
namespace {

typedef float Floats __attribute__((vector_size(16)));
typedef int Indices __attribute__((vector_size(16)));
constexpr std::size_t kFloats = 4;

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
    std::size_t turned_pitch;  // from one tap to the next in a turned grid row
    std::size_t turned;        // two grid rows, turned so that each tap's values lie together
    std::size_t total;

    explicit Layout(const SliceDims& dims) noexcept {
        // Expansion writes one stretch more than the width; the last block may read up to a block past it.
        kernel_pitch = round_up(dims.width() + dims.stride, kBlock) + kBlock;
        zeros = kernel_pitch * dims.values();
        cells = zeros + round_up(dims.width(), kBlock);
        fractions = cells + round_up(dims.grid_width + 2, kBlock);
        turned_pitch = round_up(dims.grid_width, kBlock);
        turned = fractions + round_up(dims.stride, kBlock);
        total = turned + (dims.channels_last ? 2 * turned_pitch * dims.values() : 0);
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

MALLE_INLINE Floats load(const float* from) {
    Floats loaded;
    std::memcpy(&loaded, from, sizeof loaded);
    return loaded;
}

// A square of four rows, `in` floats apart, to four columns, `out` floats apart.
MALLE_INLINE void turn_square(const float* rows, std::size_t in, float* columns, std::size_t out) {
    const Floats a = load(rows), b = load(rows + in), c = load(rows + 2 * in), d = load(rows + 3 * in);
    const Floats ab = MALLE_SHUFFLE(a, b, 0, 4, 1, 5), cd = MALLE_SHUFFLE(c, d, 0, 4, 1, 5);
    const Floats ab_high = MALLE_SHUFFLE(a, b, 2, 6, 3, 7), cd_high = MALLE_SHUFFLE(c, d, 2, 6, 3, 7);
    const Floats turned[kFloats] = {MALLE_SHUFFLE(ab, cd, 0, 1, 4, 5), MALLE_SHUFFLE(ab, cd, 2, 3, 6, 7),
                                    MALLE_SHUFFLE(ab_high, cd_high, 0, 1, 4, 5),
                                    MALLE_SHUFFLE(ab_high, cd_high, 2, 3, 6, 7)};
    for (std::size_t i = 0; i < kFloats; ++i) std::memcpy(columns + i * out, &turned[i], sizeof turned[i]);
}

// (rows, columns) to (columns, rows); `in` and `out` floats from one line to the next.
MALLE_INLINE void turn(const float* from, std::size_t rows, std::size_t columns, std::size_t in, float* to,
                       std::size_t out) {
    const std::size_t square_rows = rows / kFloats * kFloats, square_columns = columns / kFloats * kFloats;
    for (std::size_t row = 0; row < square_rows; row += kFloats) {
        for (std::size_t column = 0; column < square_columns; column += kFloats)
            turn_square(from + row * in + column, in, to + column * out + row, out);
    }
    for (std::size_t column = 0; column < columns; ++column) {
        for (std::size_t row = column < square_columns ? square_rows : 0; row < rows; ++row)
            to[column * out + row] = from[row * in + column];
    }
}

// One group's grid, row by row: however it is stored, the values of a tap lie together in what row() gives.
class Grid {
public:
    struct Row {
        const float* values;
        std::size_t pitch;  // from one tap to the next
    };

    Grid(const float* grid, const SliceDims& dims, std::size_t group, const Layout& layout, float* scratch) noexcept
        : dims_(dims), pitch_(layout.turned_pitch), turned_(scratch + layout.turned) {
        const std::size_t plane = dims.grid_height * dims.grid_width, values = dims.groups * dims.values();
        const std::size_t item = group / dims.groups, first = group % dims.groups * dims.values();
        cells_ = grid + item * values * plane + first * (dims.channels_last ? 1 : plane);
    }

    // Valid until two other rows have been asked for.
    MALLE_INLINE Row row(std::size_t index) noexcept {
        const std::size_t width = dims_.grid_width;
        if (!dims_.channels_last) return {cells_ + index * width, dims_.grid_height * width};
        // Neighbours, which are what is blended, never share a place.
        float* place = turned_ + index % 2 * pitch_ * dims_.values();
        if (held_[index % 2] != index + 1) {
            const std::size_t step = dims_.groups * dims_.values();
            turn(cells_ + index * width * step, width, dims_.values(), step, place, pitch_);
            held_[index % 2] = index + 1;
        }
        return {place, pitch_};
    }

private:
    const SliceDims& dims_;
    const float* cells_;  // the group's first value
    std::size_t pitch_;
    float* turned_;
    std::size_t held_[2] = {};  // row that lies in each place, counted from 1
};

// The kernels of one output row, a row of `kernel_pitch` floats for each tap and one for the bias.
template <std::size_t Stride>
MALLE_INLINE void expand_row(Grid& grid, const SliceDims& dims, std::size_t row, const Layout& layout,
                             float* scratch) {
    const std::size_t width = dims.grid_width;
    const GridRows rows(dims, row);
    const Grid::Row upper = grid.row(Stride == 1 ? row : rows.upper);
    const Grid::Row lower = Stride == 1 ? upper : grid.row(rows.lower);
    float* cells = scratch + layout.cells;
    for (std::size_t tap = 0; tap < dims.values(); ++tap) {
        const float* values = upper.values + tap * upper.pitch;
        float* out = scratch + tap * layout.kernel_pitch;
        if (Stride == 1) {
            std::memcpy(out, values, width * sizeof(float));
            continue;
        }
        blend_rows(values, lower.values + tap * lower.pitch, rows.fraction, width, cells);
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
    const float* row_kernels = scratch + (Stride == 1 ? 0 : dims.stride - phases.lead());
    for (std::size_t item = first; item < last;) {
        const std::size_t group = item / dims.height(), end = std::min(last, (group + 1) * dims.height());
        Grid kernels(grid, dims, group, layout, scratch);
        for (; item < end; ++item) {
            const std::size_t row = item % dims.height();
            expand_row<Stride>(kernels, dims, row, layout, scratch);
            sum_row<K>(x + group * shared, y + group * shared, dims, row, row_kernels, layout.kernel_pitch,
                       scratch + layout.zeros);
        }
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
