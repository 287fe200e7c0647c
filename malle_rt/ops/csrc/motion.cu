// Where each block of a frame was in the frame before, and what is kept of a video moved to where it is now, on NVIDIA
// GPUs. malle_rt/ops/motion.py defines what is computed, bit for bit; the entry points are at the end, and
// malle_rt/cuda/motion.py, which starts them in their order, keeps what they ask for.
//
// A block is 8 x 8 pixels of the luma; `rows` and `columns` count blocks. The luma's codes at 1, 1/2, 1/4 and 1/8 of its
// size are its levels: a block has 8, 4, 2 and 1 pixels a side there. Around each level lie kMargin blocks that repeat
// its edges, so that the search needs no bounds. The levels follow each other in memory, dense, the finest one first.
//
// As elsewhere nothing goes through shared memory: a thread does one block.

#include "packs.cuh"

namespace malle {

// How far to go for a block's past, in pixels of the level that it was found at, or in eighths of the luma's.
struct Motion {
    short down, right;
};

// Of a block and its past: products of the past's gradients, down and to the right, doubled, and of what the two are
// apart.
struct MotionSums {
    int downs, rights, both, down_apart, right_apart, aparts;
};

namespace {

using Byte = std::uint8_t;

constexpr int kBlock = 8;
constexpr int kCoarsest = 3;
constexpr int kMargin = 8;  // blocks; the farthest read goes 48 pixels of the luma beyond the picture
constexpr int kReach = 4;   // of the search at the coarsest level
constexpr int kWindow = 5;  // side of its window
constexpr int kNearby = 2;  // blocks on each side that decide together
constexpr unsigned kBetter = 20;  // they move where they fit better by more than one part in so many

// Sizes of a picture in blocks.
struct Blocks {
    int rows, columns;

    __device__ __forceinline__ int pitch(int level) const { return (columns + 2 * kMargin) * (kBlock >> level); }

    // From the levels' first byte to the first pixel of a block, which may lie in the margin.
    __device__ __forceinline__ std::size_t at(int level, int row, int column) const {
        const std::size_t whole = static_cast<std::size_t>(rows + 2 * kMargin) * (columns + 2 * kMargin);
        std::size_t before = 0;
        for (int finer = 0; finer < level; ++finer) before += whole * (kBlock >> finer) * (kBlock >> finer);
        const int side = kBlock >> level;
        return before + static_cast<std::size_t>(row + kMargin) * side * pitch(level) + (column + kMargin) * side;
    }
};

__device__ __forceinline__ int block_row() { return static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y); }
__device__ __forceinline__ int block_column() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }
__device__ __forceinline__ int within(int at, int size) { return min(max(at, 0), size - 1); }

// ---- The levels: a thread does a block at all of them. ----

// Which pixel of the nearest block in the picture stands at `i` of this one.
template <int Side, typename Value>
__device__ __forceinline__ Value at_edge(const Value (&values)[Side], int i, int block, int blocks) {
    return block < 0 ? values[0] : block >= blocks ? values[Side - 1] : values[i];
}

template <int Side>
struct Square {
    Byte at[Side][Side];

    __device__ __forceinline__ void write(Byte* to, int pitch, int row, int column, const Blocks& size) const {
#pragma unroll
        for (int i = 0; i < Side; ++i) {
            Byte line[Side], out[Side];
#pragma unroll
            for (int j = 0; j < Side; ++j) {
                const Byte above = at[0][j], below = at[Side - 1][j];
                line[j] = row < 0 ? above : row >= size.rows ? below : at[i][j];
            }
#pragma unroll
            for (int j = 0; j < Side; ++j) out[j] = at_edge(line, j, column, size.columns);
            Pack<Byte, Side>::of(out).store(to + i * pitch);
        }
    }

    __device__ __forceinline__ Square<Side / 2> halved() const {
        Square<Side / 2> half;
#pragma unroll
        for (int i = 0; i < Side / 2; ++i) {
#pragma unroll
            for (int j = 0; j < Side / 2; ++j) {
                const int sum = at[2 * i][2 * j] + at[2 * i][2 * j + 1] + at[2 * i + 1][2 * j] + at[2 * i + 1][2 * j + 1];
                half.at[i][j] = static_cast<Byte>((sum + 2) >> 2);
            }
        }
        return half;
    }
};

template <int Level>
__device__ __forceinline__ void write_levels(const Square<(kBlock >> Level)>& block, Byte* levels, int row, int column,
                                             const Blocks& size) {
    block.write(levels + size.at(Level, row, column), size.pitch(Level), row, column, size);
    if constexpr (Level < kCoarsest) write_levels<Level + 1>(block.halved(), levels, row, column, size);
}

template <typename T>
__device__ __forceinline__ void levels_of(const T* __restrict__ luma, Byte* __restrict__ levels, const Blocks& size) {
    constexpr int wide = kWidest / sizeof(T) < kBlock ? kWidest / sizeof(T) : kBlock;
    const int row = block_row() - kMargin, column = block_column() - kMargin;
    if (row >= size.rows + kMargin || column >= size.columns + kMargin) return;
    const std::size_t width = static_cast<std::size_t>(size.columns) * kBlock;
    const T* corner = luma + within(row, size.rows) * kBlock * width + within(column, size.columns) * kBlock;
    Square<kBlock> block;
#pragma unroll
    for (int i = 0; i < kBlock; ++i) {
        float values[kBlock];
#pragma unroll
        for (int j = 0; j < kBlock; j += wide) widen(Pack<T, wide>::load(corner + i * width + j), values + j);
#pragma unroll
        for (int j = 0; j < kBlock; ++j) {
            // Halves to even; fmaxf gives its other argument for what is not a number.
            const float code = rintf(fminf(fmaxf(values[j] * 255.0F, 0.0F), 255.0F));
            block.at[i][j] = static_cast<Byte>(static_cast<int>(code));
        }
    }
    write_levels<0>(block, levels, row, column, size);
}

// ---- The search: sums of absolute differences, four pixels a word. ----

// 4 * N pixels from any address on. What lies beside them in their words is read, too.
template <int N>
__device__ __forceinline__ void read_words(const Byte* from, unsigned (&words)[N]) {
    const auto address = reinterpret_cast<std::uintptr_t>(from);
    const auto* whole = reinterpret_cast<const unsigned*>(address - address % sizeof(unsigned));
    const unsigned shift = static_cast<unsigned>(address % sizeof(unsigned)) * 8;
    unsigned word = whole[0];
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const unsigned next = whole[i + 1];
        words[i] = __funnelshift_r(word, next, shift);
        word = next;
    }
}

__device__ __forceinline__ unsigned byte_of(unsigned word, int i) { return word >> (8 * i) & 0xFFU; }

__device__ __forceinline__ void search_everywhere(const Byte* __restrict__ now, const Byte* __restrict__ before,
                                                  Motion* __restrict__ found, const Blocks& size) {
    constexpr int halo = kWindow / 2, steps = 2 * kReach + 1;
    const int row = block_row(), column = block_column();
    if (row >= size.rows || column >= size.columns) return;
    const int pitch = size.pitch(kCoarsest);
    const std::size_t corner = size.at(kCoarsest, row, column) - halo * pitch - halo;
    unsigned window[kWindow][2];
#pragma unroll
    for (int i = 0; i < kWindow; ++i) read_words(now + corner + i * pitch, window[i]);
    unsigned best = ~0U;
    int best_far = 0, best_down = 0, best_right = 0;
#pragma unroll 1
    for (int down = -kReach; down <= kReach; ++down) {
        unsigned costs[steps] = {};
#pragma unroll
        for (int i = 0; i < kWindow; ++i) {
            unsigned line[4];  // what all displacements of this row need
            read_words(before + corner + (down + i) * pitch - kReach, line);
#pragma unroll
            for (int step = 0; step < steps; ++step) {
                const unsigned four = __funnelshift_r(line[step / 4], line[min(step / 4 + 1, 3)], step % 4 * 8);
                const unsigned last = byte_of(line[(step + 4) / 4], step % 4);
                costs[step] += __vsadu4(window[i][0], four) + __vsadu4(byte_of(window[i][1], 0), last);
            }
        }
#pragma unroll
        for (int step = 0; step < steps; ++step) {
            // The nearest one wins ties, and of those as near the upper and then the left one.
            const int right = step - kReach, far = down * down + right * right;
            if (costs[step] < best || (costs[step] == best && far < best_far)) {
                best = costs[step], best_far = far, best_down = down, best_right = right;
            }
        }
    }
    found[row * size.columns + column] = {static_cast<short>(best_down), static_cast<short>(best_right)};
}

template <int Level>
struct Finer {
    static constexpr int window = Level == 0 ? 16 : 8;
    static constexpr int halo = (window - (kBlock >> Level)) / 2;

    const Byte *now, *before;  // the window of the block, and the same place in the past
    int pitch;
    unsigned best = 0;
    int down = 0, right = 0;

    __device__ __forceinline__ unsigned cost(int d, int r) const {
        const Byte* there = before + d * pitch + r;
        unsigned sum = 0;
#pragma unroll 4
        for (int i = 0; i < window; ++i) {
            unsigned ours[window / 4], theirs[window / 4];
            read_words(now + i * pitch, ours);
            read_words(there + i * pitch, theirs);
#pragma unroll
            for (int j = 0; j < window / 4; ++j) sum += __vsadu4(ours[j], theirs[j]);
        }
        return sum;
    }

    __device__ __forceinline__ void attempt(int d, int r) {
        const unsigned sum = cost(d, r);
        if (sum < best) best = sum, down = d, right = r;
    }
};

template <int Level>
__device__ __forceinline__ void refine(const Byte* __restrict__ now, const Byte* __restrict__ before,
                                       const Motion* __restrict__ coarser, Motion* __restrict__ found,
                                       unsigned* __restrict__ standing, unsigned* __restrict__ moving,
                                       const Blocks& size) {
    const int row = block_row(), column = block_column();
    if (row >= size.rows || column >= size.columns) return;
    const int pitch = size.pitch(Level), block = row * size.columns + column;
    const std::size_t corner = size.at(Level, row, column) - Finer<Level>::halo * (pitch + 1);
    Finer<Level> search{now + corner, before + corner, pitch};
    const unsigned still = search.best = search.cost(0, 0);
    // The block's own, and at the first of the finer levels that of its neighbours above, below, left and right.
    constexpr int candidates = Level == kCoarsest - 1 ? 5 : 1;
#pragma unroll 1
    for (int i = 0; i < candidates; ++i) {
        const int down = i == 1 ? -1 : i == 2 ? 1 : 0, right = i == 3 ? -1 : i == 4 ? 1 : 0;
        const Motion twice =
            coarser[within(row + down, size.rows) * size.columns + within(column + right, size.columns)];
        search.attempt(2 * twice.down, 2 * twice.right);
    }
    const int middle_down = search.down, middle_right = search.right;
#pragma unroll 1
    for (int i = 0; i < 9; ++i) search.attempt(middle_down + i / 3 - 1, middle_right + i % 3 - 1);
    found[block] = {static_cast<short>(search.down), static_cast<short>(search.right)};
    if (Level == 0) standing[block] = still, moving[block] = search.best;
}

__device__ __forceinline__ void choose(const Motion* __restrict__ found, const unsigned* __restrict__ standing,
                                       const unsigned* __restrict__ moving, Motion* __restrict__ chosen,
                                       const Blocks& size) {
    const int row = block_row(), column = block_column();
    if (row >= size.rows || column >= size.columns) return;
    unsigned still = 0, gain = 0;
    for (int r = max(row - kNearby, 0); r <= min(row + kNearby, size.rows - 1); ++r) {
        for (int c = max(column - kNearby, 0); c <= min(column + kNearby, size.columns - 1); ++c) {
            const int block = r * size.columns + c;
            still += standing[block];
            gain += standing[block] - moving[block];
        }
    }
    const int block = row * size.columns + column;
    chosen[block] = gain * kBetter > still ? found[block] : Motion{0, 0};
}

// ---- Parts of a pixel: by least squares from gradients. ----

constexpr int kWhole = 8;  // eighths
constexpr long long kFarthest = 5, kSure = 20, kDamping = 4;

__device__ __forceinline__ void measure(const Byte* __restrict__ now, const Byte* __restrict__ before,
                                        const Motion* __restrict__ chosen, MotionSums* __restrict__ found,
                                        const Blocks& size) {
    const int row = block_row(), column = block_column();
    if (row >= size.rows || column >= size.columns) return;
    const int pitch = size.pitch(0), block = row * size.columns + column;
    const std::size_t corner = size.at(0, row, column);
    const Byte* ours = now + corner;
    const Byte* theirs = before + corner + chosen[block].down * pitch + chosen[block].right;
    MotionSums sums{};
#pragma unroll 1
    for (int i = 0; i < kBlock; ++i, ours += pitch, theirs += pitch) {
#pragma unroll
        for (int j = 0; j < kBlock; ++j) {
            const int down = theirs[j + pitch] - theirs[j - pitch], right = theirs[j + 1] - theirs[j - 1];
            const int apart = ours[j] - theirs[j];
            sums.downs += down * down, sums.rights += right * right, sums.both += down * right;
            sums.down_apart += down * apart, sums.right_apart += right * apart, sums.aparts += apart * apart;
        }
    }
    found[block] = sums;
}

// Rounded down; the divisor is positive.
__device__ __forceinline__ long long floor_of(long long value, long long by) {
    const long long cut = value / by;
    return cut - (value % by < 0 ? 1 : 0);
}

__device__ __forceinline__ long long eighths_of(long long solved, long long determinant) {
    const long long rounded = floor_of(2 * kWhole * solved + determinant, 2 * determinant);
    return rounded < -kFarthest ? -kFarthest : rounded > kFarthest ? kFarthest : rounded;
}

__device__ __forceinline__ void part(const Motion* __restrict__ chosen, const MotionSums* __restrict__ sums,
                                     Motion* __restrict__ eighths, const Blocks& size) {
    const int row = block_row(), column = block_column();
    if (row >= size.rows || column >= size.columns) return;
    const int block = row * size.columns + column;
    // Of the blocks around that move like this one, or by a pixel more or less; as if all had moved like it;
    // those with `apart` doubled, and its square four times.
    long long downs = 0, rights = 0, both = 0, down_apart = 0, right_apart = 0, aparts = 0, count = 0;
    for (int r = max(row - kNearby, 0); r <= min(row + kNearby, size.rows - 1); ++r) {
        for (int c = max(column - kNearby, 0); c <= min(column + kNearby, size.columns - 1); ++c) {
            const MotionSums& each = sums[r * size.columns + c];
            const int more_down = chosen[r * size.columns + c].down - chosen[block].down;
            const int more_right = chosen[r * size.columns + c].right - chosen[block].right;
            if (abs(more_down) > 1 || abs(more_right) > 1) continue;
            downs += each.downs, rights += each.rights, both += each.both;
            aparts += 4 * (each.aparts + more_down * each.down_apart + more_right * each.right_apart) +
                      more_down * more_down * each.downs + 2 * more_down * more_right * each.both +
                      more_right * more_right * each.rights;
            down_apart += 2 * each.down_apart + more_down * each.downs + more_right * each.both;
            right_apart += 2 * each.right_apart + more_down * each.both + more_right * each.rights;
            count += kBlock * kBlock;
        }
    }
    const long long stiff_down = downs + kDamping * count, stiff_right = rights + kDamping * count;
    const long long determinant = stiff_down * stiff_right - both * both;
    const long long down = eighths_of(stiff_right * down_apart - both * right_apart, determinant);
    const long long right = eighths_of(stiff_down * right_apart - both * down_apart, determinant);
    const long long less = 2 * kWhole * (down * down_apart + right * right_apart) -
                           (downs * down * down + 2 * both * down * right + rights * right * right);
    const bool sure = less * count > kSure * kWhole * kWhole * aparts;
    eighths[block] = {static_cast<short>(kWhole * chosen[block].down + (sure ? down : 0)),
                      static_cast<short>(kWhole * chosen[block].right + (sure ? right : 0))};
}

// ---- Moving: a thread does one row of a block of one plane. ----

constexpr int kTaps = 6, kTapsBefore = 2, kSixteenths = 16;

// What a tap counts for, over 256, that many sixteenths of a pixel on; those beyond a half are mirrored.
__device__ __forceinline__ float tap_of(int sixteenths, int tap) {
    constexpr short taps[kSixteenths / 2 + 1][kTaps] = {
        {0, 0, 256, 0, 0, 0},       {3, -12, 254, 14, -3, 0},  {5, -22, 249, 31, -8, 1},
        {7, -29, 240, 49, -12, 1},  {8, -34, 228, 69, -17, 2}, {8, -37, 214, 91, -23, 3},
        {8, -38, 197, 112, -27, 4}, {7, -37, 177, 135, -31, 5}, {6, -35, 157, 157, -35, 6}};
    const bool mirrored = sixteenths > kSixteenths / 2;
    const short found = mirrored ? taps[kSixteenths - sixteenths][kTaps - 1 - tap] : taps[sixteenths][tap];
    return static_cast<float>(found) / 256.0F;
}

// Side: of a block in this plane; planes of half the luma's size move half as far. Nearest: by whole pixels.
template <int Side, bool Nearest, typename T>
__device__ __forceinline__ void move_block(const T* __restrict__ from, T* __restrict__ to,
                                           const Motion* __restrict__ motion, const Blocks& size) {
    constexpr int wide = kWidest / sizeof(T) < Side ? kWidest / sizeof(T) : Side;
    constexpr int unit = kWhole * kBlock / Side, half = Nearest ? unit / 2 : 0;
    const int row = block_row(), column = block_column();
    const int height = size.rows * Side, width = size.columns * Side;
    if (row >= height || column >= size.columns) return;
    const Motion eighths = motion[row / Side * size.columns + column];
    const int down = static_cast<int>(floor_of(eighths.down + half, unit));
    const int right = static_cast<int>(floor_of(eighths.right + half, unit));
    const int down_part = (eighths.down - unit * down) * (kSixteenths / unit);
    const int right_part = (eighths.right - unit * right) * (kSixteenths / unit);
    T values[Side / wide][wide];
    if (Nearest || (down_part == 0 && right_part == 0)) {
        const T* line = from + static_cast<std::size_t>(within(row + down, height)) * width;
#pragma unroll
        for (int i = 0; i < Side; ++i) values[i / wide][i % wide] = line[within(column * Side + right + i, width)];
    } else {
        float sums[Side] = {}, taps[kTaps];
#pragma unroll
        for (int tap = 0; tap < kTaps; ++tap) taps[tap] = tap_of(right_part, tap);
#pragma unroll 1
        for (int i = 0; i < kTaps; ++i) {
            const float share = tap_of(down_part, i);
            const T* line = from + static_cast<std::size_t>(within(row + down + i - kTapsBefore, height)) * width;
            float around[Side + kTaps - 1];
#pragma unroll
            for (int j = 0; j < Side + kTaps - 1; ++j)
                around[j] = static_cast<float>(line[within(column * Side + right + j - kTapsBefore, width)]);
#pragma unroll
            for (int j = 0; j < Side; ++j) {
                float sum = 0.0F;
#pragma unroll
                for (int tap = 0; tap < kTaps; ++tap) sum += taps[tap] * around[j + tap];
                sums[j] += share * sum;
            }
        }
#pragma unroll
        for (int i = 0; i < Side; ++i) values[i / wide][i % wide] = static_cast<T>(sums[i]);
    }
    T* out = to + static_cast<std::size_t>(row) * width + column * Side;
#pragma unroll
    for (int i = 0; i < Side / wide; ++i) Pack<T, wide>::of(values[i]).store(out + i * wide);
}

}  // namespace
}  // namespace malle

// malle_motion_levels_TYPE: blockIdx.z is 0 for the frame's luma, 1 for that of its past; values in [0, 1].
// malle_move_TYPE: blockIdx.z is 0 for the luma, 1 and 2 for the chroma, 3 and on for the hidden state's planes.
// Tensors begin at multiples of kWidest bytes.
#define MALLE_MOTION(TYPE, T)                                                                                       \
    extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_motion_levels_##TYPE(                       \
        const T* __restrict__ now, const T* __restrict__ before, std::uint8_t* __restrict__ now_levels,             \
        std::uint8_t* __restrict__ before_levels, int rows, int columns) {                                          \
        const bool past = blockIdx.z == 1;                                                                          \
        malle::levels_of(past ? before : now, past ? before_levels : now_levels, {rows, columns});                  \
    }                                                                                                               \
    extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_move_##TYPE(                                \
        const T* __restrict__ y, const T* __restrict__ uv, const T* __restrict__ hidden, T* __restrict__ to_y,      \
        T* __restrict__ to_uv, T* __restrict__ to_hidden, const malle::Motion* __restrict__ motion, int rows,       \
        int columns) {                                                                                              \
        const malle::Blocks size{rows, columns};                                                                    \
        const std::size_t half = static_cast<std::size_t>(rows) * columns * 16;                                     \
        const int plane = static_cast<int>(blockIdx.z);                                                             \
        if (plane == 0) {                                                                                           \
            malle::move_block<8, false>(y, to_y, motion, size);                                                            \
        } else if (plane < 3) {                                                                                     \
            malle::move_block<4, false>(uv + (plane - 1) * half, to_uv + (plane - 1) * half, motion, size);                \
        } else {                                                                                                    \
            malle::move_block<4, true>(hidden + (plane - 3) * half, to_hidden + (plane - 3) * half, motion, size);        \
        }                                                                                                           \
    }
MALLE_MOTION(f16, __half)
MALLE_MOTION(f32, float)

extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_motion_coarse(
    const std::uint8_t* __restrict__ now, const std::uint8_t* __restrict__ before,
    malle::Motion* __restrict__ found, int rows, int columns) {
    malle::search_everywhere(now, before, found, {rows, columns});
}

// malle_motion_lL: level L from what the coarser one found; `standing` and `moving` are written at level 0.
#define MALLE_REFINE(LEVEL)                                                                                   \
    extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_motion_l##LEVEL(                      \
        const std::uint8_t* __restrict__ now, const std::uint8_t* __restrict__ before,                        \
        const malle::Motion* __restrict__ coarser, malle::Motion* __restrict__ found,                         \
        unsigned* __restrict__ standing, unsigned* __restrict__ moving, int rows, int columns) {              \
        malle::refine<LEVEL>(now, before, coarser, found, standing, moving, {rows, columns});                 \
    }
MALLE_REFINE(2)
MALLE_REFINE(1)
MALLE_REFINE(0)

extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_motion_choose(
    const malle::Motion* __restrict__ found, const unsigned* __restrict__ standing,
    const unsigned* __restrict__ moving, malle::Motion* __restrict__ chosen, int rows, int columns) {
    malle::choose(found, standing, moving, chosen, {rows, columns});
}

extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_motion_measure(
    const std::uint8_t* __restrict__ now, const std::uint8_t* __restrict__ before,
    const malle::Motion* __restrict__ chosen, malle::MotionSums* __restrict__ sums, int rows, int columns) {
    malle::measure(now, before, chosen, sums, {rows, columns});
}

extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_motion_part(
    const malle::Motion* __restrict__ chosen, const malle::MotionSums* __restrict__ sums,
    malle::Motion* __restrict__ eighths, int rows, int columns) {
    malle::part(chosen, sums, eighths, {rows, columns});
}
