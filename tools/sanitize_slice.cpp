// malle_slice on buffers of exactly the documented sizes, for the sanitizers: tools/sanitize.py compiles and runs it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "malle_slice.hpp"

namespace {

// Whether rows in ranges of several lengths give what all rows at once give, and all of it is written.
bool holds(const malle::SliceDims& dims) {
    const std::size_t pixels = dims.batch * dims.channels * dims.height() * dims.width();
    std::vector<float> x(pixels), whole(pixels, NAN), parts(pixels, NAN);
    std::vector<float> grid(dims.batch * dims.groups * dims.values() * dims.grid_height * dims.grid_width);
    std::vector<float> scratch(malle::scratch_floats(dims));
    for (auto* values : {&x, &grid})
        for (auto& value : *values) value = static_cast<float>(std::rand()) / RAND_MAX - 0.5f;
    malle::slice_rows(x.data(), grid.data(), whole.data(), dims, 0, dims.items(), scratch.data());
    for (std::size_t first = 0; first < dims.items();) {
        const std::size_t last = std::min(dims.items(), first + 1 + static_cast<std::size_t>(std::rand()) % 7);
        malle::slice_rows(x.data(), grid.data(), parts.data(), dims, first, last, scratch.data());
        first = last;
    }
    for (std::size_t i = 0; i < pixels; ++i)
        if (!std::isfinite(whole[i]) || std::fabs(whole[i] - parts[i]) > 1e-5f) return false;
    return true;
}

}  // namespace

int main() {
    int tried = 0;
    for (std::size_t kernel_size : {1, 3, 5})
        for (std::size_t stride : {1, 2, 3, 4, 8})
            for (std::size_t groups : {1, 2, 3})
                for (std::size_t width : {1, 2, 3, 5, 8, 17, 33})
                    for (bool channels_last : {false, true}) {
                        const std::size_t height = 1 + width % 4;
                        const malle::SliceDims dims{1 + width % 2, groups * (1 + stride % 2), groups, height, width,
                                                    stride, kernel_size, channels_last};
                        if (!holds(dims)) {
                            std::printf("WRONG: kernel %zu, stride %zu, groups %zu, grid %zux%zu, channels last %d\n",
                                        kernel_size, stride, groups, width, height, channels_last);
                            return 1;
                        }
                        ++tried;
                    }
    std::printf("%d shapes, nothing found\n", tried);
}
