#include "slice_gradient.hpp"
#include "stretches.hpp"

// A tap's gradient at a pixel is the gradient of y there times the pixel of x that the tap meets, summed over the
// channels that share the kernel. It goes to four cells, with the weights of the interpolation. All rows of a stretch
// lie between the same two grid rows: they are added up first, once as they are and once weighted with their
// fractions, and only these two sums are then collected along the row.

namespace malle {
namespace {

// Scratch memory of one grid_gradient_rows call, in floats from its start.
struct StretchLayout {
    std::size_t pitch;      // from one row of pixels to the next
    std::size_t grads;      // the stretch's rows of the gradient of y
    std::size_t pixels;     // the rows of x that they meet, `reach` zeros on each side
    std::size_t sums;       // per tap and for the bias two rows: as they are, and weighted
    std::size_t cells;      // per tap and for the bias two rows of cells: of the grid row above, and of the one below
    std::size_t halves;     // of one row of sums: what goes to the cells on the left, and on the right
    std::size_t fractions;  // of each pixel of a stretch
    std::size_t total;

    explicit StretchLayout(const SliceDims& dims) noexcept {
        const std::size_t reach = dims.kernel_size / 2, values = dims.taps() + 1;
        pitch = round_up(dims.width() + std::max(dims.stride, 2 * reach), kBlock);
        grads = 0;
        pixels = grads + pitch * dims.stride;
        sums = pixels + pitch * (dims.stride + 2 * reach);
        cells = sums + pitch * values * 2;
        halves = cells + dims.grid_width * values * 2;
        fractions = halves + (dims.grid_width + 1) * 2;
        total = fractions + dims.stride;
    }
};

// Copy the rows of a plane from `top` on; those outside of it are zeros.
MALLE_INLINE void copy_rows(const float* plane, const SliceDims& dims, std::ptrdiff_t top, std::size_t count,
                            std::size_t pitch, float* out) {
    const std::size_t width = dims.width();
    for (std::size_t i = 0; i < count; ++i) {
        const std::ptrdiff_t row = top + static_cast<std::ptrdiff_t>(i);
        if (row < 0 || row >= static_cast<std::ptrdiff_t>(dims.height())) {
            std::memset(out + i * pitch, 0, width * sizeof(float));
        } else {
            std::memcpy(out + i * pitch, plane + static_cast<std::size_t>(row) * width, width * sizeof(float));
        }
    }
}

// Add the products of a few rows to both sums of a tap. As their number is a constant, sums stay in registers.
template <std::size_t Rows>
MALLE_INLINE void add_products(const float* __restrict grads, const float* __restrict pixels,
                               const float* __restrict fractions, std::size_t pitch, std::size_t width,
                               float* __restrict plain, float* __restrict weighted) {
    for (std::size_t i = 0; i < width; ++i) {
        float sum = plain[i], part = weighted[i];
#pragma GCC unroll 8
        for (std::size_t row = 0; row < Rows; ++row) {
            const float product = grads[row * pitch + i] * pixels[row * pitch + i];
            sum += product;
            part += product * fractions[row];
        }
        plain[i] = sum;
        weighted[i] = part;
    }
}

// The same for all rows of the stretch.
MALLE_INLINE void add_tap(const float* grads, const float* pixels, const float* fractions, std::size_t rows,
                          std::size_t pitch, std::size_t width, float* plain, float* weighted) {
    std::size_t row = 0;
    for (; row + 8 <= rows; row += 8) {
        add_products<8>(grads + row * pitch, pixels + row * pitch, fractions + row, pitch, width, plain, weighted);
    }
    for (; row + 4 <= rows; row += 4) {
        add_products<4>(grads + row * pitch, pixels + row * pitch, fractions + row, pitch, width, plain, weighted);
    }
    for (; row + 2 <= rows; row += 2) {
        add_products<2>(grads + row * pitch, pixels + row * pitch, fractions + row, pitch, width, plain, weighted);
    }
    for (; row < rows; ++row) {
        add_products<1>(grads + row * pitch, pixels + row * pitch, fractions + row, pitch, width, plain, weighted);
    }
}

// The same for the bias, which meets no pixel.
MALLE_INLINE void add_bias(const float* __restrict grads, const float* __restrict fractions, std::size_t rows,
                           std::size_t pitch, std::size_t width, float* __restrict plain, float* __restrict weighted) {
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t i = 0; i < width; ++i) {
            plain[i] += grads[row * pitch + i];
            weighted[i] += grads[row * pitch + i] * fractions[row];
        }
    }
}

// Add one channel's share of a stretch that begins at row `top`.
MALLE_INLINE void add_channel(const float* grad, const float* x, const SliceDims& dims, std::ptrdiff_t top,
                              const StretchLayout& layout, float* scratch) {
    const std::size_t size = dims.kernel_size, reach = size / 2;
    const std::size_t rows = dims.stride, pitch = layout.pitch, width = dims.width();
    float* grads = scratch + layout.grads;
    float* pixels = scratch + layout.pixels;
    const float* fractions = scratch + layout.fractions;
    copy_rows(grad, dims, top, rows, pitch, grads);
    copy_rows(x, dims, top - static_cast<std::ptrdiff_t>(reach), rows + 2 * reach, pitch, pixels + reach);
    float* sums = scratch + layout.sums + cut(dims);
    for (std::size_t tap = 0; tap < dims.taps(); ++tap, sums += 2 * pitch) {
        const float* met = pixels + tap / size * pitch + tap % size;
        add_tap(grads, met, fractions, rows, pitch, width, sums, sums + pitch);
    }
    add_bias(grads, fractions, rows, pitch, width, sums, sums + pitch);
}

// The opposite of expand_cells: gather (width + 1) stretches of pixels to `width` cells. Stride as there.
template <std::size_t Stride>
MALLE_INLINE void collect_cells(const float* __restrict pixels, const float* __restrict fractions, std::size_t width,
                                std::size_t stride, float* __restrict halves, float* __restrict cells) {
    const std::size_t step = Stride ? Stride : stride;
    float* __restrict left = halves;
    float* __restrict right = halves + width + 1;
    for (std::size_t cell = 0; cell <= width; ++cell) {
        float all = 0.0F, far = 0.0F;
        for (std::size_t i = 0; i < step; ++i) {
            all += pixels[cell * step + i];
            far += pixels[cell * step + i] * fractions[i];
        }
        left[cell] = all - far;
        right[cell] = far;
    }
    for (std::size_t cell = 0; cell < width; ++cell) cells[cell] = left[cell + 1] + right[cell];
    // The stretches that the edges cut lie between a cell and itself.
    cells[0] += left[0];
    cells[width - 1] += right[width];
}

MALLE_INLINE void collect_any_stride(const float* pixels, const float* fractions, std::size_t width, std::size_t stride,
                                     float* halves, float* cells) {
    switch (stride) {
        case 1: return collect_cells<1>(pixels, fractions, width, stride, halves, cells);
        case 2: return collect_cells<2>(pixels, fractions, width, stride, halves, cells);
        case 4: return collect_cells<4>(pixels, fractions, width, stride, halves, cells);
        case 8: return collect_cells<8>(pixels, fractions, width, stride, halves, cells);
        default: return collect_cells<0>(pixels, fractions, width, stride, halves, cells);
    }
}

// What the stretch between the grid rows `index` - 1 and `index` adds to either of them, into layout.cells.
MALLE_INLINE void sum_stretch(const float* grad, const float* x, const SliceDims& dims, std::size_t index,
                              const StretchLayout& layout, float* scratch) {
    const std::size_t plane = dims.height() * dims.width(), width = dims.grid_width;
    const float* fractions = scratch + layout.fractions;
    const auto top = static_cast<std::ptrdiff_t>(index * dims.stride) - static_cast<std::ptrdiff_t>(cut(dims));
    std::memset(scratch + layout.sums, 0, (layout.cells - layout.sums) * sizeof(float));
    for (std::size_t channel = 0; channel < dims.channels / dims.groups; ++channel) {
        add_channel(grad + channel * plane, x + channel * plane, dims, top, layout, scratch);
    }
    for (std::size_t value = 0; value <= dims.taps(); ++value) {
        const float* sums = scratch + layout.sums + 2 * value * layout.pitch;
        float* above = scratch + layout.cells + 2 * value * width;
        float* below = above + width;
        float* halves = scratch + layout.halves;
        collect_any_stride(sums, fractions, width, dims.stride, halves, above);
        collect_any_stride(sums + layout.pitch, fractions, width, dims.stride, halves, below);
        for (std::size_t cell = 0; cell < width; ++cell) above[cell] -= below[cell];
    }
}

// Add the rows of cells that begin at `cells` to the rows of all taps of the gradient.
MALLE_INLINE void add_cells(const float* cells, const SliceDims& dims, float* grad_grid) {
    const std::size_t width = dims.grid_width, plane = dims.grid_height * width;
    for (std::size_t value = 0; value <= dims.taps(); ++value) {
        for (std::size_t cell = 0; cell < width; ++cell) {
            grad_grid[value * plane + cell] += cells[2 * value * width + cell];
        }
    }
}

MALLE_INLINE void clear_cells(const SliceDims& dims, float* grad_grid) {
    const std::size_t width = dims.grid_width, plane = dims.grid_height * width;
    for (std::size_t value = 0; value <= dims.taps(); ++value) {
        std::memset(grad_grid + value * plane, 0, width * sizeof(float));
    }
}

}  // namespace

std::size_t grid_items(const SliceDims& dims) noexcept { return dims.batch * dims.groups * dims.grid_height; }

std::size_t grid_gradient_scratch(const SliceDims& dims) noexcept { return StretchLayout(dims).total; }

MALLE_MULTIVERSION
void grid_gradient_rows(const float* grad, const float* x, float* grad_grid, const SliceDims& dims, std::size_t first,
                        std::size_t last, float* scratch) noexcept {
    const StretchLayout layout(dims);
    std::memset(scratch, 0, layout.cells * sizeof(float));  // among them the zeros beside the rows of x
    write_fractions(dims, scratch + layout.fractions);
    const std::size_t height = dims.grid_height, width = dims.grid_width;
    const std::size_t shared = dims.channels / dims.groups * dims.height() * dims.width();
    const float* above = scratch + layout.cells;
    const float* below = above + width;
    for (std::size_t item = first; item < last; ++item) {
        const std::size_t group = item / height, row = item % height;
        float* out = grad_grid + (group * (dims.taps() + 1) * height + row) * width;
        clear_cells(dims, out);
        // Two stretches meet in a grid row; the previous item has left the sums of the upper one.
        for (std::size_t index = row; index <= row + 1; ++index) {
            const bool left = index == row && item != first && row != 0;
            if (!left) sum_stretch(grad + group * shared, x + group * shared, dims, index, layout, scratch);
            // The stretches beyond the first and the last grid row lie between that row and itself.
            if (index == row || index == height) add_cells(below, dims, out);
            if (index == row + 1 || index == 0) add_cells(above, dims, out);
        }
    }
}

}  // namespace malle
