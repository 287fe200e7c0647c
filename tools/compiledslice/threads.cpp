// What Python calls: the slice, its gradients and the search for motion, each spread over threads.
#include <algorithm>
#include <cstddef>
#include <vector>

#include "malle_slice.hpp"
#include "motion.hpp"
#include "slice_gradient.hpp"

namespace {

using malle::SliceDims;

// Several parts for each thread: one that finds its core busy then holds up the others less.
constexpr std::size_t kPartsPerThread = 4;
// Multiply-adds below which waking threads costs more than they take over: about 20 microseconds of one.
constexpr std::size_t kWorthThreads = 1 << 17;

bool worth_threads(const SliceDims& dims) noexcept {
    return dims.batch * dims.channels * dims.height() * dims.width() * (dims.taps() + 1) > kWorthThreads;
}

// Run rows(first, last, scratch) on parts of [0, items). Without memory for the scratch the process ends.
template <typename Rows>
void share(const SliceDims& dims, std::size_t items, std::size_t scratch_floats, std::size_t threads,
           const Rows& rows) noexcept {
    if (threads == 1 || !worth_threads(dims)) {
        std::vector<float> scratch(scratch_floats);
        return rows(std::size_t{0}, items, scratch.data());
    }
    const std::size_t parts = std::min(items, threads * kPartsPerThread);
    // Always as many as torch uses: OpenMP ends threads that a smaller team leaves out, and starts them again.
#pragma omp parallel num_threads(static_cast<int>(threads))
    {
        std::vector<float> scratch(scratch_floats);
#pragma omp for schedule(dynamic)
        for (std::size_t part = 0; part < parts; ++part) {
            rows(items * part / parts, items * (part + 1) / parts, scratch.data());
        }
    }
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void malle_train_slice(const float* x, const float* grid, float* y,
                                                              const SliceDims* dims, std::size_t threads) noexcept {
    share(*dims, dims->items(), malle::scratch_floats(*dims), threads,
          [=](std::size_t first, std::size_t last, float* scratch) {
              malle::slice_rows(x, grid, y, *dims, first, last, scratch);
          });
}

__attribute__((visibility("default"))) void malle_train_x_gradient(const float* grad, const float* grid, float* grad_x,
                                                                   const SliceDims* dims,
                                                                   std::size_t threads) noexcept {
    share(*dims, dims->items(), malle::x_gradient_scratch(*dims), threads,
          [=](std::size_t first, std::size_t last, float* scratch) {
              malle::x_gradient_rows(grad, grid, grad_x, *dims, first, last, scratch);
          });
}

__attribute__((visibility("default"))) void malle_train_grid_gradient(const float* grad, const float* x,
                                                                      float* grad_grid, const SliceDims* dims,
                                                                      std::size_t threads) noexcept {
    share(*dims, malle::grid_items(*dims), malle::grid_gradient_scratch(*dims), threads,
          [=](std::size_t first, std::size_t last, float* scratch) {
              malle::grid_gradient_rows(grad, x, grad_grid, *dims, first, last, scratch);
          });
}

// Dense luma codes (pictures, height, width); motion is (pictures, height / 8, width / 8) of pairs down, right, in
// eighths of a pixel; whole: only whole pixels.
__attribute__((visibility("default"))) void malle_train_find_motion(const std::uint8_t* now, const std::uint8_t* before,
                                                                    malle::Motion* motion, std::size_t pictures,
                                                                    std::size_t height, std::size_t width, bool whole,
                                                                    std::size_t threads) noexcept {
    const malle::MotionDims dims{height, width};
#pragma omp parallel for schedule(dynamic) num_threads(static_cast<int>(threads))
    for (std::size_t picture = 0; picture < pictures; ++picture) {
        std::vector<std::uint8_t> memory(malle::MotionSearch::memory(dims));
        malle::MotionSearch search(dims, memory.data(), whole);
        search.prepare(now + picture * height * width, before + picture * height * width);
        for (std::size_t step = 0; step < malle::MotionSearch::kSteps; ++step) search.step(step, 0, dims.rows());
        std::copy_n(search.motion(), dims.blocks(), motion + picture * dims.blocks());
    }
}
}
