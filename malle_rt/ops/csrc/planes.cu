// Between the planes of decoders and encoders and the network's tensors. The entry points are at the end, and
// malle_rt/cuda/kernels.py, which starts them, keeps what they ask for.
//
// Planes: rows of samples, `pitch` bytes apart; luma width x height, chroma half of it, rounded up. Planar has U and V
// apart; semi-planar (NV12, P010) has U in even and V in odd places of one plane, and v is null. A code value of b bits
// lies `shift` bits up in its sample: 0, or 16 - b in P010 and its like.
// Tensors: y (rows, columns), uv (2, rows / 2, columns / 2), dense, no smaller than the planes.
//
// blockIdx.z: 0 is luma, 1 is U, or U and V where they share a plane, 2 is V. A thread does kStep neighbours of each.

#include "packs.cuh"

namespace malle {
namespace {

constexpr int kStep = 8;

// Code values of kStep neighbours of each of `Mixed` components that take turns; the last ones repeat outward.
template <int Mixed, typename Sample>
__device__ __forceinline__ void read_codes(const Sample* row, int column, int width, int shift,
                                           float (&codes)[Mixed][kStep]) {
    using Samples = Pack<Sample, kStep>;
    Sample samples[Mixed][kStep];  // as they lie in memory
    if (column + kStep <= width && Samples::fits(row + column * Mixed)) {
        for (int i = 0; i < Mixed; ++i) Samples::load(row + column * Mixed + i * kStep).split(samples[i]);
    } else {
        for (int i = 0; i < Mixed * kStep; ++i) {
            samples[i / kStep][i % kStep] = row[min(column + i / Mixed, width - 1) * Mixed + i % Mixed];
        }
    }
    for (int i = 0; i < Mixed * kStep; ++i) {
        codes[i % Mixed][i / Mixed] = static_cast<float>(samples[i / kStep][i % kStep] >> shift);
    }
}

template <int Mixed, typename Sample>
__device__ __forceinline__ void write_codes(Sample* row, int column, int width, int shift,
                                            const float (&codes)[Mixed][kStep]) {
    using Samples = Pack<Sample, kStep>;
    Sample samples[Mixed][kStep];
    for (int i = 0; i < Mixed * kStep; ++i) {
        const auto code = static_cast<unsigned>(codes[i % Mixed][i / Mixed]);
        samples[i / kStep][i % kStep] = static_cast<Sample>(code << shift);
    }
    if (column + kStep <= width && Samples::fits(row + column * Mixed)) {
        for (int i = 0; i < Mixed; ++i) Samples::of(samples[i]).store(row + column * Mixed + i * kStep);
    } else {
        for (int i = 0; i < Mixed * kStep; ++i) {
            if (column + i / Mixed < width) row[column * Mixed + i] = samples[i / kStep][i % kStep];
        }
    }
}

// kStep values of a tensor, fewer at the end of a row.
template <typename T>
__device__ __forceinline__ void read_values(const T* row, int column, int columns, float (&values)[kStep]) {
    constexpr int wide = kWidest / sizeof(T);
    if (column + kStep <= columns && Pack<T, wide>::fits(row + column)) {
        for (int i = 0; i < kStep; i += wide) widen(Pack<T, wide>::load(row + column + i), values + i);
    } else {
        for (int i = 0; i < kStep; ++i) values[i] = static_cast<float>(row[min(column + i, columns - 1)]);
    }
}

template <typename T>
__device__ __forceinline__ void write_values(T* row, int column, int columns, const float (&values)[kStep]) {
    constexpr int wide = kWidest / sizeof(T);
    if (column + kStep <= columns && Pack<T, wide>::fits(row + column)) {
        for (int i = 0; i < kStep; i += wide) narrow<T, wide>(values + i).store(row + column + i);
    } else {
        for (int i = 0; i < kStep && column + i < columns; ++i) row[column + i] = static_cast<T>(values[i]);
    }
}

// Sizes of a plane and of the tensors that belong to it.
struct Extent {
    int width, height, rows, columns;

    __device__ __forceinline__ Extent chroma() const {
        return {(width + 1) / 2, (height + 1) / 2, rows / 2, columns / 2};
    }
};

__device__ __forceinline__ int thread_row() { return static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y); }
__device__ __forceinline__ int thread_column() {
    return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * kStep;
}

// One plane, times `scale`, into `Mixed` tensors that follow each other; its last row and column repeat outward.
template <int Mixed, typename Sample, typename T>
__device__ __forceinline__ void pack_plane(const Sample* plane, int pitch, Extent size, int shift, float scale, T* to) {
    const int row = thread_row(), column = thread_column();
    if (row >= size.rows || column >= size.columns) return;
    float values[Mixed][kStep];
    read_codes<Mixed>(row_of(plane, min(row, size.height - 1), pitch), column, size.width, shift, values);
    for (int i = 0; i < Mixed; ++i) {
        for (int j = 0; j < kStep; ++j) values[i][j] *= scale;
        const std::size_t start = (static_cast<std::size_t>(i) * size.rows + row) * size.columns;
        write_values(to + start, column, size.columns, values[i]);
    }
}

// The way back: rounded, halves to even, clipped to what a sample may hold, cropped to the plane.
template <int Mixed, typename Sample, typename T>
__device__ __forceinline__ void unpack_plane(const T* from, Extent size, float largest, Sample* plane, int pitch,
                                             int shift) {
    const int row = thread_row(), column = thread_column();
    if (row >= size.height || column >= size.width) return;
    float codes[Mixed][kStep];
    for (int i = 0; i < Mixed; ++i) {
        const std::size_t start = (static_cast<std::size_t>(i) * size.rows + row) * size.columns;
        read_values(from + start, column, size.columns, codes[i]);
        // fmaxf gives its other argument for what is not a number.
        for (int j = 0; j < kStep; ++j) codes[i][j] = rintf(fminf(fmaxf(codes[i][j] * largest, 0.0F), largest));
    }
    write_codes<Mixed>(row_of(plane, row, pitch), column, size.width, shift, codes);
}

// The planes of a frame; v is null where U and V share a plane.
template <typename Sample>
struct Planes {
    Sample *y, *u, *v;
    int y_pitch, u_pitch, v_pitch;

    __device__ __forceinline__ bool mixed() const { return v == nullptr && blockIdx.z > 0; }
    __device__ __forceinline__ Sample* plane() const { return blockIdx.z == 0 ? y : blockIdx.z == 1 ? u : v; }
    __device__ __forceinline__ int pitch() const {
        return blockIdx.z == 0 ? y_pitch : blockIdx.z == 1 ? u_pitch : v_pitch;
    }
};

// The tensor of this block's plane.
template <typename T>
__device__ __forceinline__ T* tensor(T* y, T* uv, const Extent& size) {
    if (blockIdx.z == 0) return y;
    return blockIdx.z == 1 ? uv : uv + static_cast<std::size_t>(size.rows) * size.columns;
}

template <typename Sample, typename T>
__device__ __forceinline__ void pack(const Planes<const Sample>& from, Extent size, int shift, float scale, T* y,
                                     T* uv) {
    if (blockIdx.z > 0) size = size.chroma();
    T* to = tensor(y, uv, size);
    if (from.mixed()) {
        pack_plane<2>(from.plane(), from.pitch(), size, shift, scale, to);
    } else {
        pack_plane<1>(from.plane(), from.pitch(), size, shift, scale, to);
    }
}

template <typename Sample, typename T>
__device__ __forceinline__ void unpack(const T* y, const T* uv, Extent size, float largest, const Planes<Sample>& to,
                                       int shift) {
    if (blockIdx.z > 0) size = size.chroma();
    const T* from = tensor(y, uv, size);
    if (to.mixed()) {
        unpack_plane<2>(from, size, largest, to.plane(), to.pitch(), shift);
    } else {
        unpack_plane<1>(from, size, largest, to.plane(), to.pitch(), shift);
    }
}

}  // namespace
}  // namespace malle

// malle_pack_SAMPLE_TYPE also brings the `levels` numbers that tell the network of the noise, as they are.
// malle_unpack_SAMPLE_TYPE goes back. `scale` is 1 / `largest`, the largest code value.
#define MALLE_PLANES(SAMPLE, S, TYPE, T)                                                                            \
    extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_pack_##SAMPLE##_##TYPE(                     \
        const S* __restrict__ y, const S* __restrict__ u, const S* __restrict__ v, int y_pitch, int u_pitch,        \
        int v_pitch, int width, int height, int shift, float scale, T* __restrict__ to_y, T* __restrict__ to_uv,    \
        int rows, int columns, const float* __restrict__ told, T* __restrict__ to_told, int levels) {               \
        const bool first = blockIdx.x + blockIdx.y + blockIdx.z + threadIdx.x + threadIdx.y == 0;                   \
        for (int i = 0; first && i < levels; ++i) to_told[i] = static_cast<T>(told[i]);                             \
        const malle::Planes<const S> from{y, u, v, y_pitch, u_pitch, v_pitch};                                      \
        malle::pack(from, {width, height, rows, columns}, shift, scale, to_y, to_uv);                               \
    }                                                                                                               \
    extern "C" __global__ void __launch_bounds__(malle::kThreads) malle_unpack_##SAMPLE##_##TYPE(                   \
        const T* __restrict__ from_y, const T* __restrict__ from_uv, int rows, int columns, float largest,          \
        S* __restrict__ y, S* __restrict__ u, S* __restrict__ v, int y_pitch, int u_pitch, int v_pitch, int width,  \
        int height, int shift) {                                                                                    \
        const malle::Planes<S> to{y, u, v, y_pitch, u_pitch, v_pitch};                                              \
        malle::unpack(from_y, from_uv, {width, height, rows, columns}, largest, to, shift);                         \
    }
MALLE_PLANES(u8, std::uint8_t, f16, __half)
MALLE_PLANES(u8, std::uint8_t, f32, float)
MALLE_PLANES(u16, std::uint16_t, f16, __half)
MALLE_PLANES(u16, std::uint16_t, f32, float)
