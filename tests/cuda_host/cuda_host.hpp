// What the kernels use of CUDA, for g++: their threads run one after the other. None of them waits for another, so
// there is no __syncthreads here; a kernel that needs one does not compile until this file runs threads as fibres.
#pragma once

#include <algorithm>
#include <cmath>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict

using std::max;
using std::min;

using __half = _Float16;

struct uint3 {
    unsigned x, y, z;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

// The two words in a row, shifted right by up to 31 bits: the lower one of what comes out.
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
    return static_cast<unsigned>(both >> (shift & 31));
}

// Sum of the absolute differences of four bytes.
inline unsigned __vsadu4(unsigned a, unsigned b) {
    unsigned sum = 0;
    for (int i = 0; i < 32; i += 8) {
        const int x = static_cast<int>(a >> i & 0xFF), y = static_cast<int>(b >> i & 0xFF);
        sum += static_cast<unsigned>(x > y ? x - y : y - x);
    }
    return sum;
}

// Of the launch that runs on this host thread.
extern thread_local uint3 threadIdx, blockIdx, blockDim;
