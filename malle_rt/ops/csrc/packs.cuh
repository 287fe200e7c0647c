// Neighbouring values moved together: what the kernels share. A value is stored as T and computed with as float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <cuda_fp16.h>

namespace malle {

constexpr int kThreads = 256;  // of a block, at most
constexpr int kWidest = 16;    // bytes that a thread loads or stores with one instruction

// A row of a plane, `pitch` bytes from the one before.
template <typename T>
__device__ __forceinline__ T* row_of(T* plane, int row, int pitch) {
    const std::size_t bytes = static_cast<std::size_t>(row) * pitch;
    return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(plane) + bytes);
}

template <int Bytes>
struct Word;
template <>
struct Word<1> {
    using type = unsigned char;
};
template <>
struct Word<2> {
    using type = unsigned short;
};
template <>
struct Word<4> {
    using type = unsigned;
};
template <>
struct Word<8> {
    using type = uint2;
};
template <>
struct Word<16> {
    using type = uint4;
};

// N values in a row, loaded and stored as one word, at addresses that are multiples of the word's size. As an array
// of values the compiler would move them one by one.
template <typename T, int N>
struct Pack {
    typename Word<N * sizeof(T)>::type word;

    static __device__ __forceinline__ bool fits(const T* address) {
        return reinterpret_cast<std::uintptr_t>(address) % sizeof(Pack) == 0;
    }

    static __device__ __forceinline__ Pack load(const T* from) { return *reinterpret_cast<const Pack*>(from); }
    __device__ __forceinline__ void store(T* to) const { *reinterpret_cast<Pack*>(to) = *this; }

    static __device__ __forceinline__ Pack of(const T (&values)[N]) {
        Pack pack;
        std::memcpy(&pack, values, sizeof(pack));
        return pack;
    }
    __device__ __forceinline__ void split(T (&values)[N]) const { std::memcpy(values, this, sizeof(values)); }
};

template <typename T, int N>
__device__ __forceinline__ void widen(const Pack<T, N>& pack, float* to) {
    T values[N];
    pack.split(values);
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = static_cast<float>(values[i]);
}

template <typename T, int N>
__device__ __forceinline__ Pack<T, N> narrow(const float* from) {
    T values[N];
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = static_cast<T>(from[i]);
    return Pack<T, N>::of(values);
}

}  // namespace malle
