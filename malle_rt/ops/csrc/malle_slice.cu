// malle_slice on NVIDIA GPUs; malle_rt/ops/reference.py defines what it computes. The entry points are at the end, and
// malle_rt/cuda/kernels.py, which starts them, keeps what they ask for.
//
// Index algebra. With half-pixel centres, pixel i of an axis lies at (i + 1/2) / S - 1/2 of the grid's axis, S being
// the stride. Counted from one cell further left that is never negative, so with shifted = i + S - S / 2, all integer,
//
//     left cell = shifted / S - 1          right cell = left cell + 1          both clamped to the grid
//     share of the right cell = (shifted % S + S / 2 + 1/2) / S - 1/2
//
// x, y: [z][sharing][H][W]. grid: [z][K * K + 1][rows][columns]. All are dense, so z = blockIdx.z counts the items of
// the batch and their groups in one; `sharing` channels, C / G, use the same kernels.
//
// Nothing goes through shared memory. A thread keeps the cells of all its pixels in registers; what it needs beside
// them is its neighbour's own and comes out of the first-level cache, and no thread waits for another.

#include "packs.cuh"

namespace malle {
namespace {

__host__ __device__ constexpr int shifted(int at, int stride) { return at + stride - stride / 2; }

__host__ __device__ constexpr float right_share(int at, int stride) {
    return (static_cast<float>(shifted(at, stride) % stride + stride / 2) + 0.5F) / static_cast<float>(stride) - 0.5F;
}

__device__ __forceinline__ float blend(float from, float to, float share) { return from + (to - from) * share; }

// ---- Any stride, size and alignment: a thread does one pixel of all the channels that share its kernel. ----

struct Between {
    int left, right;
    float share;  // of the right one
};

__device__ __forceinline__ Between between(int at, int stride, int cells) {
    const int right = shifted(at, stride) / stride, left = max(right - 1, 0);
    const float share = right_share(at, stride);
    // A cell without a share is not read: at stride 1 a kernel that is not finite must stay where it is.
    return {left, share == 0.0F ? left : min(right, cells - 1), share};
}

template <typename T>
__device__ __forceinline__ float read_cell(const T* upper, const T* lower, const Between& across, float share) {
    const float left = blend(static_cast<float>(upper[across.left]), static_cast<float>(lower[across.left]), share);
    const float right = blend(static_cast<float>(upper[across.right]), static_cast<float>(lower[across.right]), share);
    return blend(left, right, across.share);
}

template <typename T, int K>
__device__ __forceinline__ void slice_any(const T* __restrict__ x, const T* __restrict__ grid, T* __restrict__ y,
                                          int sharing, int rows, int columns, int stride) {
    const int height = rows * stride, width = columns * stride;
    const int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= height || column >= width) return;

    const Between down = between(row, stride, rows), across = between(column, stride, columns);
    const std::size_t cells = static_cast<std::size_t>(rows) * columns;
    const T* upper = grid + blockIdx.z * (K * K + 1) * cells + static_cast<std::size_t>(down.left) * columns;
    const T* lower = upper + static_cast<std::size_t>(down.right - down.left) * columns;
    float kernel[K * K + 1];
#pragma unroll
    for (int tap = 0; tap <= K * K; ++tap) {
        kernel[tap] = read_cell(upper + tap * cells, lower + tap * cells, across, down.share);
    }

    const std::size_t plane = static_cast<std::size_t>(height) * width;
    std::size_t at = blockIdx.z * sharing * plane + static_cast<std::size_t>(row) * width + column;
#pragma unroll 1
    for (int channel = 0; channel < sharing; ++channel, at += plane) {
        float sum = kernel[K * K];
#pragma unroll
        for (int tap = 0; tap < K * K; ++tap) {
            const int down_by = tap / K - K / 2, right_by = tap % K - K / 2;
            const bool inside = static_cast<unsigned>(row + down_by) < static_cast<unsigned>(height) &&
                                static_cast<unsigned>(column + right_by) < static_cast<unsigned>(width);
            const T* pixel = x + at + static_cast<std::ptrdiff_t>(down_by) * width + right_by;
            if (inside) sum += kernel[tap] * static_cast<float>(*pixel);
        }
        y[at] = static_cast<T>(sum);
    }
}

// ---- The strides of MalleNet-RT: a thread does a patch of `rows` x `wide` pixels, `together` channels at once. ----
//
// x, grid and y begin at a multiple of kWidest bytes and W is a multiple of `wide`, so rows are whole, aligned packs.
// Patches start S / 2 rows above the picture, so that the rows of one lie between the same two rows of cells; `own`
// cells begin at the patch's first column, and one more on each side takes part.
//
// Pixels are interpolated last. Summing x * (left + share * (right - left)) over the taps takes two multiply-adds per
// tap and the slopes; summing x * left and x * right apart takes the two, and one interpolation per pixel at the end.

template <typename T, int K, int S>
struct Patch {
    static constexpr int stride = S;
    static constexpr int reach = K / 2;
    static constexpr int wide = kWidest / sizeof(T);
    static constexpr int rows = S == 1 ? 1 : 2;
    static constexpr int line = wide + 2 * reach;  // pixels of x that a row of the patch needs
    static constexpr int own = wide / S;
    static constexpr int sides = S == 1 ? 1 : 2;  // cells that a pixel lies between, in each direction
    static constexpr int cells = own + 2 * (sides - 1);
    static_assert(K > 1 && wide % S == 0 && S % rows == 0, "rows of a patch must lie between the same cells");

    // Index into `cells` of the one left of pixel i.
    __host__ __device__ static constexpr int left(int i) { return S == 1 ? i : shifted(i, S) / S; }
    __host__ __device__ static constexpr float share(int i) { return right_share(i, S); }
};

// Where a patch reads one row of each tap's cells.
template <typename P, typename T>
struct CellRow {
    const T* own;
    bool first, last;  // no cell before, after: the clamped edge

    __device__ __forceinline__ void read(std::size_t offset, float (&cells)[P::cells]) const {
        const T* at = own + offset;
        widen(Pack<T, P::own>::load(at), cells + P::sides - 1);
        if (P::sides == 1) return;
        cells[0] = first ? cells[1] : static_cast<float>(at[-1]);
        cells[P::cells - 1] = last ? cells[P::cells - 2] : static_cast<float>(at[P::own]);
    }
};

// The two rows of cells that a patch lies between.
template <typename P, typename T>
struct CellRows {
    CellRow<P, T> upper, lower;
    float share, step;  // of the lower one: at the patch's first row, and from row to row

    // One tap of the kernels of each row of the patch; `offset` leads to the tap's plane.
    __device__ __forceinline__ void read(std::size_t offset, float (&taps)[P::rows][P::cells]) const {
        upper.read(offset, taps[0]);
        if (P::sides == 1) return;
        float below[P::cells];
        lower.read(offset, below);
#pragma unroll
        for (int i = 0; i < P::cells; ++i) {
            const float above = taps[0][i], slope = below[i] - above;
#pragma unroll
            for (int r = 0; r < P::rows; ++r) taps[r][i] = above + slope * (share + static_cast<float>(r) * step);
        }
    }
};

template <typename P, typename T>
__device__ __forceinline__ CellRows<P, T> cell_rows(const T* grid, int row, int column, int rows, int columns) {
    const int lower = shifted(row, P::stride) / P::stride, cell = column / P::stride;
    const T* above = grid + static_cast<std::size_t>(max(lower - 1, 0)) * columns + cell;
    const T* below = grid + static_cast<std::size_t>(min(lower, rows - 1)) * columns + cell;
    const bool first = cell == 0, last = cell + P::own == columns;
    return {{above, first, last}, {below, first, last}, right_share(row, P::stride), 1.0F / P::stride};
}

// Pixels of one row of x around [column, column + wide), zero outside of the picture.
template <typename P, typename T>
__device__ __forceinline__ void read_line(const T* row, int column, int width, bool inside, float (&line)[P::line]) {
    Pack<T, P::reach> before{}, after{};
    Pack<T, P::wide> own{};
    if (inside) own = Pack<T, P::wide>::load(row + column);
    if (inside && column > 0) before = Pack<T, P::reach>::load(row + column - P::reach);
    if (inside && column + P::wide < width) after = Pack<T, P::reach>::load(row + column + P::wide);
    widen(before, line);
    widen(own, line + P::reach);
    widen(after, line + P::reach + P::wide);
}

// What a patch has summed up, apart for the cells left and right of each pixel.
template <typename P>
struct Sums {
    float at[P::rows][P::wide][P::sides];

    // The bias: a tap on pixels of 1.
    __device__ __forceinline__ void start(const float (&taps)[P::rows][P::cells]) {
#pragma unroll
        for (int i = 0; i < P::rows * P::wide * P::sides; ++i) {
            const int r = i / P::sides / P::wide, pixel = i / P::sides % P::wide, side = i % P::sides;
            at[r][pixel][side] = taps[r][P::left(pixel) + side];
        }
    }

    // One tap times the pixels `offset` into the lines.
    __device__ __forceinline__ void add(const float (&taps)[P::rows][P::cells], const float (&lines)[P::rows][P::line],
                                        int offset) {
#pragma unroll
        for (int i = 0; i < P::rows * P::wide * P::sides; ++i) {
            const int r = i / P::sides / P::wide, pixel = i / P::sides % P::wide, side = i % P::sides;
            at[r][pixel][side] += taps[r][P::left(pixel) + side] * lines[r][pixel + offset];
        }
    }

    // To the rows of one channel of y that there are.
    template <typename T>
    __device__ __forceinline__ void write(T* y, int row, int column, int height, int width) const {
#pragma unroll
        for (int r = 0; r < P::rows; ++r) {
            if (row + r < 0 || row + r >= height) continue;
            float pixels[P::wide];
#pragma unroll
            for (int i = 0; i < P::wide; ++i) pixels[i] = blend(at[r][i][0], at[r][i][P::sides - 1], P::share(i));
            narrow<T, P::wide>(pixels).store(y + static_cast<std::size_t>(row + r) * width + column);
        }
    }
};

template <typename T, int K, int S, int Together>
__device__ __forceinline__ void slice_patches(const T* __restrict__ x, const T* __restrict__ grid, T* __restrict__ y,
                                              int sharing, int rows, int columns) {
    using P = Patch<T, K, S>;
    const int height = rows * S, width = columns * S;
    const int row = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y) * P::rows - S / 2;
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * P::wide;
    if (row + P::rows <= 0 || row >= height || column >= width) return;

    const std::size_t cells = static_cast<std::size_t>(rows) * columns;
    const std::size_t plane = static_cast<std::size_t>(height) * width;
    const auto kernels = cell_rows<P>(grid + blockIdx.z * (K * K + 1) * cells, row, column, rows, columns);

    for (int first = 0; first < sharing; first += Together) {
        const std::size_t base = (blockIdx.z * sharing + first) * plane;
        // The picture's row `from` of channel c of those done together; zero where there is none.
        const auto read = [&](int c, int from, float(&line)[P::line]) {
            const bool inside = from >= 0 && from < height && first + c < sharing;
            const T* start = x + base + c * plane + static_cast<std::ptrdiff_t>(from) * width;
            read_line<P>(start, column, width, inside, line);
        };
        float taps[P::rows][P::cells];
        Sums<P> sums[Together];
        float lines[Together][P::rows][P::line];  // what each row of the patch needs for the current row of taps
        kernels.read(K * K * cells, taps);
#pragma unroll
        for (int c = 0; c < Together; ++c) {
            sums[c].start(taps);
            if (P::rows == 2) read(c, row - P::reach, lines[c][P::rows - 1]);
        }
        std::size_t tap = 0;  // where its plane starts
        // One row of taps is enough to have in flight: unrolled further, the loads fill all registers there are.
#pragma unroll 1
        for (int i = 0; i < K; ++i) {
#pragma unroll
            for (int c = 0; c < Together; ++c) {
                // The patch's lower row needed for the row of taps before what the upper one needs now.
#pragma unroll
                for (int j = 0; j < P::line; ++j) lines[c][0][j] = lines[c][P::rows - 1][j];
                read(c, row + i - P::reach + P::rows - 1, lines[c][P::rows - 1]);
            }
#pragma unroll
            for (int j = 0; j < K; ++j, tap += cells) {
                kernels.read(tap, taps);
#pragma unroll
                for (int c = 0; c < Together; ++c) sums[c].add(taps, lines[c], j);
            }
        }
#pragma unroll
        for (int c = 0; c < Together; ++c) {
            if (first + c < sharing) sums[c].write(y + base + c * plane, row, column, height, width);
        }
    }
}

}  // namespace
}  // namespace malle

// malle_slice_TYPE_kK takes everything.
#define MALLE_SLICE(TYPE, T, K)                                                                               \
    extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_slice_##TYPE##_k##K(                  \
        const T* __restrict__ x, const T* __restrict__ grid, T* __restrict__ y, int sharing, int rows,        \
        int columns, int stride) {                                                                            \
        malle::slice_any<T, K>(x, grid, y, sharing, rows, columns, stride);                                   \
    }
MALLE_SLICE(f16, __half, 1)
MALLE_SLICE(f16, __half, 3)
MALLE_SLICE(f16, __half, 5)
MALLE_SLICE(f32, float, 1)
MALLE_SLICE(f32, float, 3)
MALLE_SLICE(f32, float, 5)

// malle_slice_TYPE_kK_sS takes stride S and whole packs. Two blocks of kThreads must find room on a multiprocessor:
// with fewer threads in flight the memory waits for them.
#define MALLE_SLICE_PATCHES(TYPE, T, K, S, TOGETHER)                                                          \
    extern "C" __global__ void __launch_bounds__(malle::kThreads, 2) malle_slice_##TYPE##_k##K##_s##S(        \
        const T* __restrict__ x, const T* __restrict__ grid, T* __restrict__ y, int sharing, int rows,        \
        int columns) {                                                                                        \
        malle::slice_patches<T, K, S, TOGETHER>(x, grid, y, sharing, rows, columns);                          \
    }
// Luma, U and V, which share their kernels, on a grid at 1/4 of the luma, and at 1/2; then inside the trunk.
MALLE_SLICE_PATCHES(f16, __half, 5, 4, 1)
MALLE_SLICE_PATCHES(f16, __half, 3, 2, 1)
MALLE_SLICE_PATCHES(f16, __half, 5, 2, 1)
MALLE_SLICE_PATCHES(f16, __half, 3, 1, 2)
MALLE_SLICE_PATCHES(f16, __half, 3, 4, 1)
MALLE_SLICE_PATCHES(f32, float, 5, 4, 1)
MALLE_SLICE_PATCHES(f32, float, 3, 2, 1)
MALLE_SLICE_PATCHES(f32, float, 5, 2, 1)
MALLE_SLICE_PATCHES(f32, float, 3, 1, 2)
MALLE_SLICE_PATCHES(f32, float, 3, 4, 1)
