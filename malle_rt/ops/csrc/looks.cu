// The little that the host wants to see of a surface: sums of blocks, to find cuts, and a few parts, to tell the noise.
// malle_rt/cuda/looks.py starts both.
//
// A surface is Y, and UV with U in even and V in odd places (NV12, P010); rows lie `pitch` bytes apart, and a code
// value `shift` bits up in its sample.

#include "packs.cuh"

namespace malle {
namespace {

constexpr int kSquare = 16;  // side of a block; as malle_rt/cuts.py has it

// Sums of the blocks of every `step`th row of blocks: a thread does one.
template <typename Sample>
__device__ __forceinline__ void sum_blocks(const Sample* y, int pitch, int shift, int rows, int columns, int step,
                                           unsigned* sums) {
    constexpr int wide = kWidest / sizeof(Sample);
    const int row = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (row >= rows || column >= columns) return;
    unsigned sum = 0;
    for (int line = 0; line < kSquare; ++line) {
        const Sample* from = row_of(y, row * step * kSquare + line, pitch) + column * kSquare;
        for (int i = 0; i < kSquare; i += wide) {
            Sample samples[wide];
            if (Pack<Sample, wide>::fits(from + i)) {
                Pack<Sample, wide>::load(from + i).split(samples);
            } else {
                for (int j = 0; j < wide; ++j) samples[j] = from[i + j];
            }
            for (int j = 0; j < wide; ++j) sum += static_cast<unsigned>(samples[j] >> shift);
        }
    }
    sums[row * columns + column] = sum;
}

// Places of parts of one size: one of them, or four, in the order of reading.
struct Corners {
    int tops[2], lefts[2];
};

// A thread takes four samples of Y and what belongs to them of U and V.
template <typename Sample>
__device__ __forceinline__ void take_parts(const Sample* y, const Sample* uv, int y_pitch, int uv_pitch, int shift,
                                           int parts, const Corners& corners, int rows, int columns,
                                           Sample* luma, Sample* chroma) {
    const int row = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (row >= rows / 2 || column >= columns / 2) return;
    const int part = static_cast<int>(blockIdx.z);
    const int top = corners.tops[part / 2], left = corners.lefts[part % 2];
    for (int i = 0; i < 4; ++i) {
        const int down = 2 * row + i / 2, across = 2 * column + i % 2;
        luma[(part * rows + down) * columns + across] =
            static_cast<Sample>(row_of(y, top + down, y_pitch)[left + across] >> shift);
    }
    const Sample* from = row_of(uv, top / 2 + row, uv_pitch) + left + 2 * column;
    for (int i = 0; i < 2; ++i) {
        chroma[((i * parts + part) * (rows / 2) + row) * (columns / 2) + column] =
            static_cast<Sample>(from[i] >> shift);
    }
}

}  // namespace
}  // namespace malle

#define MALLE_LOOKS(SAMPLE, S)                                                                                      \
    extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_block_sums_##SAMPLE(                        \
        const S* __restrict__ y, int pitch, int shift, int rows, int columns, int step,                             \
        unsigned* __restrict__ sums) {                                                                              \
        malle::sum_blocks(y, pitch, shift, rows, columns, step, sums);                                              \
    }                                                                                                               \
    extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_parts_##SAMPLE(                             \
        const S* __restrict__ y, const S* __restrict__ uv, int y_pitch, int uv_pitch, int shift, int parts, int top, \
        int lower, int left, int further, int rows, int columns, S* __restrict__ luma, S* __restrict__ chroma) {    \
        malle::take_parts(y, uv, y_pitch, uv_pitch, shift, parts, {{top, lower}, {left, further}}, rows, columns,    \
                          luma, chroma);                                                                                  \
    }
MALLE_LOOKS(u8, std::uint8_t)
MALLE_LOOKS(u16, std::uint16_t)
