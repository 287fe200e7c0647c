// Where each block of a frame was in the frame before: block search on luma codes, and planes moved by what it finds.
// It knows neither torch nor OpenVINO: pointers, sizes and ranges of work, so the caller brings threads and memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace malle {

constexpr std::size_t kMotionBlock = 8;  // side of a block, in luma pixels
constexpr std::size_t kMotionLevels = 4;
constexpr int kMotionWhole = 8;  // of a pixel, which motion is counted in, are a pixel

// Sizes of the luma, multiples of kMotionBlock.
struct MotionDims {
    std::size_t height;
    std::size_t width;

    std::size_t rows() const noexcept { return height / kMotionBlock; }
    std::size_t columns() const noexcept { return width / kMotionBlock; }
    std::size_t blocks() const noexcept { return rows() * columns(); }
};

// How far to go for the block's past, in luma pixels or eighths of one.
struct Motion {
    std::int16_t down;
    std::int16_t right;
};

// Of a block and its past: products of the past's gradients, down and to the right, doubled, and of what the two are
// apart.
struct MotionSums {
    std::int32_t downs, rights, both, down_apart, right_apart, aparts;
};

// Search in steps; each is done for all block rows before the next begins, rows of one step in any order and at once.
//
// The luma is halved three times by means of 2 x 2. At an eighth of its size every displacement of up to 4 pixels (32 of
// the luma) is tried; each finer level tries twice what the coarser one found, and one pixel around it. No displacement
// is a candidate at every level and wins ties. In the end a block moves only where it and its neighbours, 5 x 5 blocks,
// fit better by more than one part in 20: between two noisy pictures of what stands still, something always fits a
// little better. Eighths of a pixel that are left follow by least squares from gradients of the same 5 x 5 blocks.
class MotionSearch {
public:
    static constexpr std::size_t kSteps = kMotionLevels + 3;

    // Bytes of memory that a search of this size needs.
    static std::size_t memory(const MotionDims& dims) noexcept;

    // `memory` belongs to the search from here on; with `whole` it stops at whole pixels.
    MotionSearch(const MotionDims& dims, std::uint8_t* memory, bool whole) noexcept;

    // Copy and halve the pictures, dense luma of 8 bits: before the first step.
    void prepare(const std::uint8_t* now, const std::uint8_t* before) noexcept;

    // Block rows [first, last) of step 0 to kSteps - 1.
    void step(std::size_t number, std::size_t first, std::size_t last) noexcept;

    // (rows, columns) in the order of the luma, in eighths of a pixel, once the last step is done.
    const Motion* motion() const noexcept { return eighths_; }

private:
    struct Level {
        std::uint8_t* now;     // first pixel of the picture; a margin repeats its edges
        std::uint8_t* before;
        std::size_t pitch;
        std::size_t height;
        std::size_t width;
    };

    void coarse_rows(std::size_t first, std::size_t last) noexcept;
    template <std::size_t Number>
    void refine_rows(std::size_t first, std::size_t last) noexcept;
    void choose_rows(std::size_t first, std::size_t last) noexcept;
    void measure_rows(std::size_t first, std::size_t last) noexcept;
    void part_rows(std::size_t first, std::size_t last) noexcept;

    MotionDims dims_;
    bool whole_;
    Level levels_[kMotionLevels];
    Motion* found_[kMotionLevels];  // at each level, in its own pixels
    Motion* chosen_;
    Motion* eighths_;
    MotionSums* sums_;
    std::uint32_t* standing_;  // sum of differences of each block where nothing moves, and where it moves as found
    std::uint32_t* moving_;
};

// Luma in [0, 1] as codes of 8 bits, rounded half to even.
void to_codes(const float* luma, std::size_t count, std::uint8_t* codes) noexcept;

// Move a plane's block rows [first, last): each block is read from where the motion points, clamped to the picture.
//
// Args: from, to: (channels, height, width); block: side of a block in this plane, 8 for the luma and 4 for planes of
// half its size, whose motion is half as far; nearest: read the nearest pixel, not between pixels.
void move_rows(const float* from, float* to, std::size_t channels, std::size_t height, std::size_t width,
               std::size_t block, bool nearest, const Motion* motion, std::size_t first, std::size_t last) noexcept;

}  // namespace malle
