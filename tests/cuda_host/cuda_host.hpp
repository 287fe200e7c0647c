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

// Of the launch that runs on this host thread.
extern thread_local uint3 threadIdx, blockIdx, blockDim;
