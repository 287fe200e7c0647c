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

// Pixels whose sums stay in registers while the taps of a line are added: four AVX-512 or eight AVX2 registers.
constexpr std::size_t kBlock = 64;
constexpr std::size_t kReach = 2;  // of the largest kernel

constexpr std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

// Where a coordinate of the full size falls on the grid, with half-pixel centres: `fraction` of the way from cell
// `next` - 1 to cell `next`, clamped where there is none.
struct Position {
    std::size_t next;
    float fraction;

    Position(std::size_t coordinate, std::size_t stride) noexcept {
        const std::size_t half = stride / 2, shifted = coordinate + stride - half;  // counted from cell -1's centre
        next = shifted / stride;
        fraction = (static_cast<float>(shifted % stride + half) + 0.5F) / static_cast<float>(stride) - 0.5F;
    }
};

// Scratch memory of one slice_rows call, in floats from its start.
//
// A row of x lies there as its phases: all first pixels of the cells, all second ones, and so on, `stride` in all. Then
// whatever belongs to neighbouring cells, pixels and kernels alike, are neighbours in memory, and interpolation along
// the row is done in registers.
struct Layout {
    std::size_t phase_pitch;    // from one phase of a row to the next, kReach zeros on each side
    std::size_t row_pitch;      // from one row to the next
    std::size_t channel_pitch;  // from one channel to the next; each has the rows that a kernel covers
    std::size_t zeros;          // a row that stands in for those outside of x
    std::size_t cells_pitch;    // from one tap to the next
    std::size_t cells;          // the grid after vertical interpolation, one clamped cell on each side
    std::size_t fractions;      // of each phase
    std::size_t turned_pitch;   // from one tap to the next in a turned grid row
    std::size_t turned;         // two grid rows, turned so that each tap's values lie together
    std::size_t total;

    explicit Layout(const SliceDims& dims) noexcept {
        phase_pitch = round_up(dims.grid_width, kBlock) + 2 * kReach;
        row_pitch = phase_pitch * dims.stride;
        channel_pitch = row_pitch * dims.kernel_size;
        zeros = channel_pitch * (dims.channels / dims.groups);
        cells = zeros + row_pitch;
        cells_pitch = round_up(dims.grid_width, kBlock) + 2;
        fractions = cells + cells_pitch * dims.values();
        turned_pitch = round_up(dims.grid_width, kFloats);
        turned = fractions + dims.stride;
        total = turned + (dims.channels_last ? 2 * turned_pitch * dims.values() : 0);
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

// Interpolate one grid row between `upper` and `lower` into cells[1 .. width], edges clamped.
MALLE_INLINE void blend_rows(const float* __restrict upper, const float* __restrict lower, float fraction,
                             std::size_t width, float* __restrict cells) {
    for (std::size_t i = 0; i < width; ++i) cells[i + 1] = upper[i] + (lower[i] - upper[i]) * fraction;
    cells[0] = cells[1];
    cells[width + 1] = cells[width];
}

// The kernels of one row of cells, a line for each tap and one for the bias.
MALLE_INLINE void blend_taps(Grid& grid, const SliceDims& dims, std::size_t row, const Layout& layout,
                             float* scratch) {
    const Position position(row, dims.stride);
    const Grid::Row upper = grid.row(position.next == 0 ? 0 : position.next - 1);
    const Grid::Row lower = grid.row(std::min(position.next, dims.grid_height - 1));
    for (std::size_t tap = 0; tap < dims.values(); ++tap) {
        blend_rows(upper.values + tap * upper.pitch, lower.values + tap * lower.pitch, position.fraction,
                   dims.grid_width, scratch + layout.cells + tap * layout.cells_pitch);
    }
}

// A row of pixels to its phases. Stride is a constant where it pays, 0 to take it from `stride`.
template <std::size_t Stride>
MALLE_INLINE void split_row(const float* __restrict row, std::size_t width, std::size_t stride, std::size_t pitch,
                            float* __restrict phases) {
    const std::size_t step = Stride ? Stride : stride;
    for (std::size_t cell = 0; cell < width; ++cell) {
        for (std::size_t i = 0; i < step; ++i) phases[i * pitch + cell] = row[cell * step + i];
    }
}

// Sums of some cells, a line for each of `Count` phases, to their places in a row of pixels.
template <std::size_t Count>
MALLE_INLINE void join_cells(const float (&sums)[Count][kBlock / Count], std::size_t cells, std::size_t stride,
                             float* __restrict row) {
    for (std::size_t cell = 0; cell < cells; ++cell) {
        for (std::size_t i = 0; i < Count; ++i) row[cell * stride + i] = sums[i][cell];
    }
}

// What the sums of one row of one channel are made of.
struct Operands {
    const float* lines[2 * kReach + 1];  // the rows that the kernel covers, as phases
    std::size_t phase_pitch;
    const float* cells;
    std::size_t cells_pitch;
    const float* fractions;
    std::size_t stride;
    std::size_t width;  // in cells
};

// Sum all taps and the bias of kBlock pixels: `Count` phases from `first` on of the cells from `cell` on.
template <std::size_t K, std::size_t Count>
MALLE_INLINE void sum_block(const Operands& row, std::size_t first, std::size_t cell,
                            float (&sums)[Count][kBlock / Count]) {
    constexpr std::size_t cells = kBlock / Count, reach = K / 2;
    // The phases of a half lie between the same two cells: kernels are loaded once for them.
    constexpr std::size_t halves = Count > 1 ? 2 : 1, half = Count / halves;
    std::size_t places[Count + 2 * reach];  // of phase `first` - reach and those behind it, in each line
    for (std::size_t i = 0; i < Count + 2 * reach; ++i) {
        const std::size_t phase = first + i + kReach * row.stride - reach;
        places[i] = phase % row.stride * row.phase_pitch + phase / row.stride + cell;
    }
    std::size_t starts[halves];
    for (std::size_t h = 0; h < halves; ++h) starts[h] = cell + Position(first + h * half, row.stride).next;
    // Taps of one line; without a line the bias, which meets no pixel. Sums stay in registers within a line. With all
    // lines unrolled they would throughout, but compiling takes minutes.
    const auto sum = [&](std::size_t first_tap, const float* line, std::size_t taps) __attribute__((always_inline)) {
        float held[Count][cells];
        if (line) std::memcpy(held, sums, sizeof held);
#pragma GCC unroll 5
        for (std::size_t i = 0; i < taps; ++i) {
#pragma GCC unroll 2
            for (std::size_t h = 0; h < halves; ++h) {
                const float* __restrict kernels = row.cells + (first_tap + i) * row.cells_pitch + starts[h];
#pragma GCC unroll 4
                for (std::size_t phase = h * half; phase < (h + 1) * half; ++phase) {
                    const float fraction = row.fractions[first + phase];
                    for (std::size_t c = 0; c < cells; ++c) {
                        const float value = kernels[c] + (kernels[c + 1] - kernels[c]) * fraction;
                        if (line) held[phase][c] += value * line[places[phase + i] + c];
                        else held[phase][c] = value;
                    }
                }
            }
        }
        std::memcpy(sums, held, sizeof held);
    };
    sum(K * K, nullptr, 1);
#pragma GCC unroll 1
    for (std::size_t line = 0; line < K; ++line) sum(line * K, row.lines[line], K);
}

template <std::size_t K, std::size_t Count>
MALLE_INLINE void sum_row(const Operands& row, float* out) {
    constexpr std::size_t cells = kBlock / Count;
    for (std::size_t cell = 0; cell < row.width; cell += cells) {
        for (std::size_t first = 0; first < row.stride; first += Count) {
            float sums[Count][cells];
            sum_block<K, Count>(row, first, cell, sums);
            join_cells<Count>(sums, std::min(cells, row.width - cell), row.stride, out + cell * row.stride + first);
        }
    }
}

// Rows of the channels of one group as phases. Each takes the place of the one K rows above it.
template <std::size_t K, std::size_t Stride>
class Lines {
public:
    Lines(const float* x, const SliceDims& dims, std::size_t row, const Layout& layout, float* scratch) noexcept
        : x_(x), dims_(dims), layout_(layout), scratch_(scratch), next_(row < K / 2 ? 0 : row - K / 2) {}

    // Make the rows that the kernel covers at `row` ready: first at the constructor's, then at the next, and so on.
    MALLE_INLINE void advance(std::size_t row) noexcept {
        constexpr std::size_t reach = K / 2;
        const std::size_t height = dims_.height(), width = dims_.width();
        for (; next_ < std::min(height, row + reach + 1); ++next_) {
            for (std::size_t channel = 0; channel < dims_.channels / dims_.groups; ++channel) {
                split_row<Stride>(x_ + (channel * height + next_) * width, dims_.grid_width, dims_.stride,
                                  layout_.phase_pitch, place(channel, next_) + kReach);
            }
        }
    }

    // Phases of the row `line` - reach; zeros outside of x.
    MALLE_INLINE const float* line(std::size_t channel, std::size_t line) const noexcept {
        constexpr std::size_t reach = K / 2;
        const bool outside = line < reach || line - reach >= dims_.height();
        return outside ? scratch_ + layout_.zeros : place(channel, line - reach);
    }

private:
    MALLE_INLINE float* place(std::size_t channel, std::size_t row) const noexcept {
        return scratch_ + channel * layout_.channel_pitch + row % K * layout_.row_pitch;
    }

    const float* x_;
    const SliceDims& dims_;
    const Layout& layout_;
    float* scratch_;
    std::size_t next_;  // row that is split next
};

template <std::size_t K, std::size_t Stride>
MALLE_INLINE void slice_items(const float* x, const float* grid, float* y, const SliceDims& dims, std::size_t first,
                              std::size_t last, float* scratch) {
    constexpr std::size_t count = Stride == 0 ? 1 : Stride < 4 ? Stride : 4;
    const Layout layout(dims);
    const std::size_t height = dims.height(), plane = height * dims.width(), sharing = dims.channels / dims.groups;
    std::memset(scratch, 0, layout.cells * sizeof(float));  // what lies beside the rows stays zero
    for (std::size_t i = 0; i < dims.stride; ++i) scratch[layout.fractions + i] = Position(i, dims.stride).fraction;
    Operands operands{{}, layout.phase_pitch, scratch + layout.cells, layout.cells_pitch, scratch + layout.fractions,
                      Stride ? Stride : dims.stride, dims.grid_width};
    for (std::size_t item = first; item < last;) {
        const std::size_t group = item / height, end = std::min(last, (group + 1) * height);
        Grid kernels(grid, dims, group, layout, scratch);
        Lines<K, Stride> lines(x + group * sharing * plane, dims, item % height, layout, scratch);
        for (; item < end; ++item) {
            const std::size_t row = item % height;
            blend_taps(kernels, dims, row, layout, scratch);
            lines.advance(row);
            for (std::size_t channel = 0; channel < sharing; ++channel) {
                for (std::size_t r = 0; r < K; ++r) operands.lines[r] = lines.line(channel, row + r);
                sum_row<K, count>(operands, y + (group * sharing + channel) * plane + row * dims.width());
            }
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
