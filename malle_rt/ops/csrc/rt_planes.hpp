// What MalleNet-RT does beside its convolutions: what its first layer sees, and what its kernels are applied to. The
// definition is in malle_rt/ops/rt.py. Pointers, sizes and ranges of work, so the caller brings threads and memory.
#pragma once

#include <cstddef>

namespace malle {

constexpr std::size_t kGridStride = 4;  // of the kernels' grid to the luma; half of it to the chroma
constexpr std::size_t kSeenChannels = 16;  // of the first layer's input, without the hidden state
// For the frame and for its past each: the luma's fine band (5 x 5), its low band (5 x 5), the chroma's (3 x 3, 5 x 5).
constexpr std::size_t kKernelChannels = 2 * (25 + 25 + 9 + 25);

// Sizes of the kernels' grid.
struct GridDims {
    std::size_t rows;
    std::size_t columns;

    std::size_t cells() const noexcept { return rows * columns; }
    std::size_t luma_width() const noexcept { return columns * kGridStride; }
    std::size_t chroma_width() const noexcept { return luma_width() / 2; }
    std::size_t luma() const noexcept { return cells() * kGridStride * kGridStride; }
    std::size_t chroma() const noexcept { return luma() / 4; }  // of one plane
};

// Dense float planes in [0, 1] of a frame, or of its past; u and v follow each other.
struct FramePlanes {
    const float* y;
    const float* uv;
};

// Noise as rt.py tells it.
struct NoiseLevels {
    float dark;
    float bright;
    float chroma;
    float coarse;
};

// The first layer's input, channels last: (rows * 2, columns * 2, 16 + hidden).
//
// Both steps are done in rows of the grid, all of the first before the second begins, rows of one in any order and at
// once; each call needs scratch memory of its own.
class RTInput {
public:
    static std::size_t memory_floats(const GridDims& dims) noexcept;
    static std::size_t scratch_floats(const GridDims& dims, std::size_t hidden) noexcept;

    // `memory` belongs to the object from here on.
    RTInput(const GridDims& dims, std::size_t hidden, const FramePlanes& now, const FramePlanes& before,
            const float* state, const NoiseLevels& noise, float* seen, float* memory) noexcept;

    void compare_rows(std::size_t first, std::size_t last) noexcept;
    void write_rows(std::size_t first, std::size_t last, float* scratch) const noexcept;

private:
    GridDims dims_;
    std::size_t hidden_;
    FramePlanes now_;
    FramePlanes before_;
    const float* state_;
    NoiseLevels noise_;
    float* seen_;
    float* brightness_;  // (rows, columns) means of the luma
    float* distance_;    // from those of the past
};

// The denoised planes. Three steps, likewise.
class RTOutput {
public:
    static std::size_t memory_floats(const GridDims& dims) noexcept;
    static std::size_t scratch_floats(const GridDims& dims) noexcept;

    // kernels: channels last, (rows, columns, 168).
    RTOutput(const GridDims& dims, const float* kernels, const FramePlanes& now, const FramePlanes& before, float* y,
             float* uv, float* memory) noexcept;

    void average_rows(std::size_t first, std::size_t last) noexcept;
    void low_rows(std::size_t first, std::size_t last, float* scratch) noexcept;
    void fine_rows(std::size_t first, std::size_t last, float* scratch) const noexcept;

private:
    GridDims dims_;
    const float* kernels_;
    FramePlanes sources_[2];
    float* clean_[2];
    float* means_[2][3];  // of frame and past: y, u, v, with a margin at the sides
    float* low_[3];       // what the low band becomes, (rows, columns)
};

}  // namespace malle
