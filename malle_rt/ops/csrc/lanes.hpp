// Rows of pixels and of kernels in vector lanes: what slicing is made of, whatever is sliced.
//
// A row of pixels lies in memory as its phases: all first pixels of the cells, all second ones, and so on, `stride` in
// all. Then whatever belongs to neighbouring cells, pixels and kernels alike, are neighbours in memory, and interpolation
// along the row is done in registers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

// Functions marked so are compiled once per instruction set, and the loader picks one. Arithmetic is all float, so
// AVX-512F or FMA (which brings AVX) is all that matters, and names that old compilers know too. Elsewhere the compiler's
// own target is used; NEON is always there on aarch64. Picking takes glibc's loader.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define MALLE_MULTIVERSION __attribute__((target_clones("avx512f", "fma", "default")))
#endif
#endif
#ifndef MALLE_MULTIVERSION
#define MALLE_MULTIVERSION
#endif
// Only code inlined into them is compiled for the instruction set that was picked.
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

// Interpolate one grid row between `upper` and `lower` into cells[1 .. width], edges clamped.
MALLE_INLINE void blend_rows(const float* __restrict upper, const float* __restrict lower, float fraction,
                             std::size_t width, float* __restrict cells) {
    for (std::size_t i = 0; i < width; ++i) cells[i + 1] = upper[i] + (lower[i] - upper[i]) * fraction;
    cells[0] = cells[1];
    cells[width + 1] = cells[width];
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
    const float* lines[2 * (2 * kReach + 1)];  // the rows that the kernels cover, as phases, one source after the other
    std::size_t phase_pitch;
    const float* cells;  // kernels after vertical interpolation, tap by tap, one clamped cell on each side
    std::size_t cells_pitch;
    const float* bias;  // likewise
    const float* fractions;
    std::size_t stride;
    std::size_t width;  // in cells
};

// Sum all taps and the bias of kBlock pixels: `Count` phases from `first` on of the cells from `cell` on. Each of the
// `Sources` has lines and kernels of its own.
template <std::size_t K, std::size_t Count, std::size_t Sources>
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
    const auto sum = [&](const float* values, const float* line, std::size_t taps) __attribute__((always_inline)) {
        float held[Count][cells];
        if (line) std::memcpy(held, sums, sizeof held);
#pragma GCC unroll 5
        for (std::size_t i = 0; i < taps; ++i) {
#pragma GCC unroll 2
            for (std::size_t h = 0; h < halves; ++h) {
                const float* __restrict kernels = values + i * row.cells_pitch + starts[h];
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
    sum(row.bias, nullptr, 1);
#pragma GCC unroll 1
    for (std::size_t line = 0; line < Sources * K; ++line)
        sum(row.cells + line * K * row.cells_pitch, row.lines[line], K);
}

template <std::size_t K, std::size_t Count, std::size_t Sources>
MALLE_INLINE void sum_row(const Operands& row, float* out) {
    constexpr std::size_t cells = kBlock / Count;
    for (std::size_t cell = 0; cell < row.width; cell += cells) {
        for (std::size_t first = 0; first < row.stride; first += Count) {
            float sums[Count][cells];
            sum_block<K, Count, Sources>(row, first, cell, sums);
            join_cells<Count>(sums, std::min(cells, row.width - cell), row.stride, out + cell * row.stride + first);
        }
    }
}

}  // namespace
}  // namespace malle
