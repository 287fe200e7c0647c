#include "malle_slice.hpp"

#include <algorithm>
#include <cstring>

#include "lanes.hpp"

namespace malle {
namespace {

// Scratch memory of one slice_rows call, in floats from its start.
struct Layout {
    std::size_t phase_pitch;    // from one phase of a row to the next, kReach zeros on each side
    std::size_t row_pitch;      // from one row to the next
    std::size_t channel_pitch;  // from one channel to the next; each has the rows that a kernel covers
    std::size_t zeros;          // a row that stands in for those outside of x
    std::size_t cells_pitch;    // from one tap to the next
    std::size_t cells;          // the grid after vertical interpolation, one clamped cell on each side
    std::size_t fractions;      // of each phase
    std::size_t turned_pitch;   // from one tap to the next in a turned grid row
    std::size_t turned;         // two grid rows, turned so that each tap's values lie together
    std::size_t total;

    explicit Layout(const SliceDims& dims) noexcept {
        phase_pitch = round_up(dims.grid_width, kBlock) + 2 * kReach;
        row_pitch = phase_pitch * dims.stride;
        channel_pitch = row_pitch * dims.kernel_size;
        zeros = channel_pitch * (dims.channels / dims.groups);
        cells = zeros + row_pitch;
        cells_pitch = round_up(dims.grid_width, kBlock) + 2;
        fractions = cells + cells_pitch * dims.values();
        turned_pitch = round_up(dims.grid_width, kFloats);
        turned = fractions + dims.stride;
        total = turned + (dims.channels_last ? 2 * turned_pitch * dims.values() : 0);
    }
};

// One group's grid, row by row: however it is stored, the values of a tap lie together in what row() gives.
class Grid {
public:
    struct Row {
        const float* values;
        std::size_t pitch;  // from one tap to the next
    };

    Grid(const float* grid, const SliceDims& dims, std::size_t group, const Layout& layout, float* scratch) noexcept
        : dims_(dims), pitch_(layout.turned_pitch), turned_(scratch + layout.turned) {
        const std::size_t plane = dims.grid_height * dims.grid_width, values = dims.groups * dims.values();
        const std::size_t item = group / dims.groups, first = group % dims.groups * dims.values();
        cells_ = grid + item * values * plane + first * (dims.channels_last ? 1 : plane);
    }

    // Valid until two other rows have been asked for.
    MALLE_INLINE Row row(std::size_t index) noexcept {
        const std::size_t width = dims_.grid_width;
        if (!dims_.channels_last) return {cells_ + index * width, dims_.grid_height * width};
        // Neighbours, which are what is blended, never share a place.
        float* place = turned_ + index % 2 * pitch_ * dims_.values();
        if (held_[index % 2] != index + 1) {
            const std::size_t step = dims_.groups * dims_.values();
            turn(cells_ + index * width * step, width, dims_.values(), step, place, pitch_);
            held_[index % 2] = index + 1;
        }
        return {place, pitch_};
    }

private:
    const SliceDims& dims_;
    const float* cells_;  // the group's first value
    std::size_t pitch_;
    float* turned_;
    std::size_t held_[2] = {};  // row that lies in each place, counted from 1
};

// The kernels of one row of cells, a line for each tap and one for the bias.
MALLE_INLINE void blend_taps(Grid& grid, const SliceDims& dims, std::size_t row, const Layout& layout,
                             float* scratch) {
    const Position position(row, dims.stride);
    const Grid::Row upper = grid.row(position.next == 0 ? 0 : position.next - 1);
    const Grid::Row lower = grid.row(std::min(position.next, dims.grid_height - 1));
    for (std::size_t tap = 0; tap < dims.values(); ++tap) {
        blend_rows(upper.values + tap * upper.pitch, lower.values + tap * lower.pitch, position.fraction,
                   dims.grid_width, scratch + layout.cells + tap * layout.cells_pitch);
    }
}

// Rows of the channels of one group as phases. Each takes the place of the one K rows above it.
template <std::size_t K, std::size_t Stride>
class Lines {
public:
    Lines(const float* x, const SliceDims& dims, std::size_t row, const Layout& layout, float* scratch) noexcept
        : x_(x), dims_(dims), layout_(layout), scratch_(scratch), next_(row < K / 2 ? 0 : row - K / 2) {}

    // Make the rows that the kernel covers at `row` ready: first at the constructor's, then at the next, and so on.
    MALLE_INLINE void advance(std::size_t row) noexcept {
        constexpr std::size_t reach = K / 2;
        const std::size_t height = dims_.height(), width = dims_.width();
        for (; next_ < std::min(height, row + reach + 1); ++next_) {
            for (std::size_t channel = 0; channel < dims_.channels / dims_.groups; ++channel) {
                split_row<Stride>(x_ + (channel * height + next_) * width, dims_.grid_width, dims_.stride,
                                  layout_.phase_pitch, place(channel, next_) + kReach);
            }
        }
    }

    // Phases of the row `line` - reach; zeros outside of x.
    MALLE_INLINE const float* line(std::size_t channel, std::size_t line) const noexcept {
        constexpr std::size_t reach = K / 2;
        const bool outside = line < reach || line - reach >= dims_.height();
        return outside ? scratch_ + layout_.zeros : place(channel, line - reach);
    }

private:
    MALLE_INLINE float* place(std::size_t channel, std::size_t row) const noexcept {
        return scratch_ + channel * layout_.channel_pitch + row % K * layout_.row_pitch;
    }

    const float* x_;
    const SliceDims& dims_;
    const Layout& layout_;
    float* scratch_;
    std::size_t next_;  // row that is split next
};

template <std::size_t K, std::size_t Stride>
MALLE_INLINE void slice_items(const float* x, const float* grid, float* y, const SliceDims& dims, std::size_t first,
                              std::size_t last, float* scratch) {
    constexpr std::size_t count = Stride == 0 ? 1 : Stride < 4 ? Stride : 4;
    const Layout layout(dims);
    const std::size_t height = dims.height(), plane = height * dims.width(), sharing = dims.channels / dims.groups;
    std::memset(scratch, 0, layout.cells * sizeof(float));  // what lies beside the rows stays zero
    for (std::size_t i = 0; i < dims.stride; ++i) scratch[layout.fractions + i] = Position(i, dims.stride).fraction;
    Operands operands{{}, layout.phase_pitch, scratch + layout.cells, layout.cells_pitch,
                      scratch + layout.cells + K * K * layout.cells_pitch, scratch + layout.fractions,
                      Stride ? Stride : dims.stride, dims.grid_width};
    for (std::size_t item = first; item < last;) {
        const std::size_t group = item / height, end = std::min(last, (group + 1) * height);
        Grid kernels(grid, dims, group, layout, scratch);
        Lines<K, Stride> lines(x + group * sharing * plane, dims, item % height, layout, scratch);
        for (; item < end; ++item) {
            const std::size_t row = item % height;
            blend_taps(kernels, dims, row, layout, scratch);
            lines.advance(row);
            for (std::size_t channel = 0; channel < sharing; ++channel) {
                for (std::size_t r = 0; r < K; ++r) operands.lines[r] = lines.line(channel, row + r);
                sum_row<K, count, 1>(operands, y + (group * sharing + channel) * plane + row * dims.width());
            }
        }
    }
}

template <std::size_t K>
MALLE_INLINE void slice_any_stride(const float* x, const float* grid, float* y, const SliceDims& dims,
                                   std::size_t first, std::size_t last, float* scratch) {
    switch (dims.stride) {
        case 1: return slice_items<K, 1>(x, grid, y, dims, first, last, scratch);
        case 2: return slice_items<K, 2>(x, grid, y, dims, first, last, scratch);
        case 4: return slice_items<K, 4>(x, grid, y, dims, first, last, scratch);
        case 8: return slice_items<K, 8>(x, grid, y, dims, first, last, scratch);
        default: return slice_items<K, 0>(x, grid, y, dims, first, last, scratch);
    }
}

}  // namespace

std::size_t scratch_floats(const SliceDims& dims) noexcept { return Layout(dims).total; }

MALLE_MULTIVERSION
void slice_rows(const float* x, const float* grid, float* y, const SliceDims& dims, std::size_t first,
                std::size_t last, float* scratch) noexcept {
    switch (dims.kernel_size) {
        case 1: return slice_any_stride<1>(x, grid, y, dims, first, last, scratch);
        case 3: return slice_any_stride<3>(x, grid, y, dims, first, last, scratch);
        default: return slice_any_stride<5>(x, grid, y, dims, first, last, scratch);
    }
}

}  // namespace malle
