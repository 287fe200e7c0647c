#include "rt_planes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lanes.hpp"

namespace malle {
namespace {

// As in malle_rt/ops/rt.py.
constexpr float kPictureGain = 4.0F, kMiddle = 0.5F, kSigmaGain = 8.0F;
constexpr float kMisfitGain = 16.0F, kLargestMisfit = 2.0F;
constexpr std::size_t kLow = 5;       // side of the low band's kernels, in cells
constexpr std::size_t kLowTaps = kLow * kLow;
constexpr std::size_t kLumaFine = 5;  // of the fine band's, in pixels
constexpr std::size_t kChromaFine = 3;
// Where the kernels of each band begin among the channels.
constexpr std::size_t kLumaLowFirst = 2 * kLumaFine * kLumaFine;
constexpr std::size_t kChromaFineFirst = kLumaLowFirst + 2 * kLowTaps;
constexpr std::size_t kChromaLowFirst = kChromaFineFirst + 2 * kChromaFine * kChromaFine;
static_assert(kChromaLowFirst + 2 * kLowTaps == kKernelChannels);

std::size_t means_pitch(const GridDims& dims) noexcept { return dims.columns + 2 * kReach; }
std::size_t turned_pitch(const GridDims& dims) noexcept { return round_up(dims.columns, kFloats); }

// Means of `stride` x `stride` pixels: one row of them.
template <std::size_t Stride>
MALLE_INLINE void average(const float* __restrict pixels, std::size_t columns, float* __restrict means) {
    const std::size_t width = columns * Stride;
    for (std::size_t cell = 0; cell < columns; ++cell) {
        float sum = 0;
#pragma GCC unroll 4
        for (std::size_t row = 0; row < Stride; ++row) {
#pragma GCC unroll 4
            for (std::size_t i = 0; i < Stride; ++i) sum += pixels[row * width + cell * Stride + i];
        }
        means[cell] = sum * (1.0F / (Stride * Stride));
    }
}

// Every second value, from the first and from the second one.
MALLE_INLINE void unshuffle(const float* __restrict row, std::size_t count, float* __restrict even,
                            float* __restrict odd) {
    for (std::size_t i = 0; i < count; ++i) {
        even[i] = (row[2 * i] - kMiddle) * kPictureGain;
        odd[i] = (row[2 * i + 1] - kMiddle) * kPictureGain;
    }
}

MALLE_INLINE void stretch(const float* __restrict row, std::size_t count, float* __restrict out) {
    for (std::size_t i = 0; i < count; ++i) out[i] = (row[i] - kMiddle) * kPictureGain;
}

// Scratch memory of the fine band of one plane, or of two that share their kernels, in floats from its start.
template <std::size_t K, std::size_t Stride, std::size_t Planes>
struct FineLayout {
    static constexpr std::size_t taps = 2 * K * K;
    std::size_t phase_pitch, row_pitch, source_pitch;
    std::size_t zeros, cells_pitch, cells, bias, means, fractions, turned, total;

    explicit FineLayout(const GridDims& dims) noexcept {
        phase_pitch = round_up(dims.columns, kBlock) + 2 * kReach;
        row_pitch = phase_pitch * Stride;
        source_pitch = row_pitch * K;
        zeros = source_pitch * 2 * Planes;  // a row that stands in for those outside of the picture
        cells_pitch = round_up(dims.columns, kBlock) + 2;
        cells = zeros + row_pitch;
        bias = cells + cells_pitch * taps;
        means = bias + cells_pitch;
        fractions = means + cells_pitch;
        turned = fractions + Stride;
        total = turned + 2 * turned_pitch(dims) * taps;
    }
};

using LumaLayout = FineLayout<kLumaFine, kGridStride, 1>;
using ChromaLayout = FineLayout<kChromaFine, kGridStride / 2, 2>;

// One plane of frame or past without its low band, row by row, as phases.
template <std::size_t K, std::size_t Stride>
struct FineLines {
    const float* pixels;
    const float* low;  // means, at the margin's end
    std::size_t low_pitch;
    float* lines;  // K rows

    MALLE_INLINE void split(std::size_t row, const GridDims& dims, std::size_t phase_pitch, std::size_t row_pitch,
                            const float* fractions, float* wide) const {
        float* place = lines + row % K * row_pitch + kReach;
        split_row<Stride>(pixels + row * dims.columns * Stride, dims.columns, Stride, phase_pitch, place);
        const Position down(row, Stride);
        const std::size_t upper = down.next == 0 ? 0 : down.next - 1, lower = std::min(down.next, dims.rows - 1);
        blend_rows(low + upper * low_pitch, low + lower * low_pitch, down.fraction, dims.columns, wide);
        for (std::size_t phase = 0; phase < Stride; ++phase) {
            float* __restrict out = place + phase * phase_pitch;
            const float* __restrict means = wide + Position(phase, Stride).next;
            const float fraction = fractions[phase];
            for (std::size_t i = 0; i < dims.columns; ++i) out[i] -= means[i] + (means[i + 1] - means[i]) * fraction;
        }
    }
};

// Grid rows [first, last) of the planes: both bands, clipped to [0, 1].
template <std::size_t K, std::size_t Stride, std::size_t Planes>
MALLE_INLINE void both_bands(const GridDims& dims, const float* kernels, const FineLines<K, Stride> (&sources)[2][Planes],
                             const float* const* low, float* out, std::size_t first, std::size_t last,
                             float* scratch) {
    using Layout = FineLayout<K, Stride, Planes>;
    constexpr std::size_t taps = Layout::taps, reach = K / 2, count = Stride < 4 ? Stride : 4;
    const Layout layout(dims);
    const std::size_t pitch = turned_pitch(dims), height = dims.rows * Stride, width = dims.columns * Stride;
    std::memset(scratch, 0, layout.cells * sizeof(float));  // what lies beside the rows stays zero
    float* fractions = scratch + layout.fractions;
    for (std::size_t i = 0; i < Stride; ++i) fractions[i] = Position(i, Stride).fraction;
    Operands operands{{}, layout.phase_pitch, scratch + layout.cells, layout.cells_pitch, scratch + layout.bias,
                      fractions, Stride, dims.columns};
    std::size_t held[2] = {};  // grid row whose kernels lie turned in each place, counted from 1
    const auto turned_row = [&](std::size_t row) __attribute__((always_inline)) {
        float* place = scratch + layout.turned + row % 2 * pitch * taps;
        if (held[row % 2] != row + 1) {
            turn(kernels + row * dims.columns * kKernelChannels, dims.columns, taps, kKernelChannels, place, pitch);
            held[row % 2] = row + 1;
        }
        return place;
    };
    std::size_t next = first * Stride < reach ? 0 : first * Stride - reach;  // row that is split next
    for (std::size_t row = first * Stride; row < last * Stride; ++row) {
        const Position down(row, Stride);
        const std::size_t upper = down.next == 0 ? 0 : down.next - 1, lower = std::min(down.next, dims.rows - 1);
        const float *above = turned_row(upper), *below = turned_row(lower);
        for (std::size_t tap = 0; tap < taps; ++tap) {
            blend_rows(above + tap * pitch, below + tap * pitch, down.fraction, dims.columns,
                       scratch + layout.cells + tap * layout.cells_pitch);
        }
        for (; next < std::min(height, row + reach + 1); ++next) {
            for (const auto& source : sources) {
                for (const auto& plane : source)
                    plane.split(next, dims, layout.phase_pitch, layout.row_pitch, fractions, scratch + layout.means);
            }
        }
        for (std::size_t plane = 0; plane < Planes; ++plane) {
            blend_rows(low[plane] + upper * dims.columns, low[plane] + lower * dims.columns, down.fraction, dims.columns,
                       scratch + layout.bias);
            for (std::size_t source = 0; source < 2; ++source) {
                for (std::size_t line = 0; line < K; ++line) {
                    const bool outside = row + line < reach || row + line - reach >= height;
                    operands.lines[source * K + line] =
                        outside ? scratch + layout.zeros
                                : sources[source][plane].lines + (row + line - reach) % K * layout.row_pitch;
                }
            }
            float* __restrict clean = out + plane * height * width + row * width;
            sum_row<K, count, 2>(operands, clean);
            for (std::size_t i = 0; i < width; ++i) clean[i] = std::min(std::max(clean[i], 0.0F), 1.0F);
        }
    }
}

}  // namespace

std::size_t RTInput::memory_floats(const GridDims& dims) noexcept { return 2 * dims.cells(); }

std::size_t RTInput::scratch_floats(const GridDims& dims, std::size_t hidden) noexcept {
    return (kSeenChannels + hidden) * dims.chroma_width() + dims.columns;
}

RTInput::RTInput(const GridDims& dims, std::size_t hidden, const FramePlanes& now, const FramePlanes& before,
                 const float* state, const NoiseLevels& noise, float* seen, float* memory) noexcept
    : dims_(dims), hidden_(hidden), now_(now), before_(before), state_(state), noise_(noise), seen_(seen),
      brightness_(memory), distance_(memory + dims.cells()) {}

MALLE_MULTIVERSION
void RTInput::compare_rows(std::size_t first, std::size_t last) noexcept {
    const std::size_t step = dims_.luma_width() * kGridStride;
    for (std::size_t row = first; row < last; ++row) {
        float* __restrict brightness = brightness_ + row * dims_.columns;
        float* __restrict distance = distance_ + row * dims_.columns;
        average<kGridStride>(now_.y + row * step, dims_.columns, brightness);
        average<kGridStride>(before_.y + row * step, dims_.columns, distance);
        for (std::size_t i = 0; i < dims_.columns; ++i) distance[i] = std::fabs(brightness[i] - distance[i]);
    }
}

MALLE_MULTIVERSION
void RTInput::write_rows(std::size_t first, std::size_t last, float* scratch) const noexcept {
    const std::size_t width = dims_.chroma_width(), columns = dims_.columns, channels = kSeenChannels + hidden_;
    float* sums = scratch + channels * width;
    const auto channel = [&](std::size_t number) { return scratch + number * width; };
    for (std::size_t cell_row = first; cell_row < last; ++cell_row) {
        const std::size_t top = cell_row == 0 ? 0 : cell_row - 1, bottom = std::min(cell_row + 2, dims_.rows);
        std::fill(sums, sums + columns, 0.0F);
        for (std::size_t row = top; row < bottom; ++row) {
            const float* __restrict distance = distance_ + row * columns;
            for (std::size_t i = 0; i < columns; ++i) sums[i] += distance[i];
        }
        const float* brightness = brightness_ + cell_row * columns;
        for (std::size_t i = 0; i < columns; ++i) {
            const std::size_t left = i == 0 ? 0 : i - 1, right = std::min(i + 2, columns);
            float sum = 0;
            for (std::size_t j = left; j < right; ++j) sum += sums[j];
            const float mean = sum / static_cast<float>((right - left) * (bottom - top));
            const float level = kSigmaGain * (noise_.dark + (noise_.bright - noise_.dark) * brightness[i]);
            channel(12)[2 * i] = channel(12)[2 * i + 1] = level;
            channel(13)[2 * i] = channel(13)[2 * i + 1] = std::min(kMisfitGain * mean, kLargestMisfit);
        }
        std::fill(channel(14), channel(14) + width, kSigmaGain * noise_.chroma);
        std::fill(channel(15), channel(15) + width, noise_.coarse);
        for (std::size_t row = 2 * cell_row; row < 2 * cell_row + 2; ++row) {
            const FramePlanes* frames[2] = {&now_, &before_};
            for (std::size_t which = 0; which < 2; ++which) {
                const FramePlanes& frame = *frames[which];
                for (std::size_t line = 0; line < 2; ++line)
                    unshuffle(frame.y + (2 * row + line) * 2 * width, width, channel(6 * which + 2 * line),
                              channel(6 * which + 2 * line + 1));
                stretch(frame.uv + row * width, width, channel(6 * which + 4));
                stretch(frame.uv + dims_.chroma() + row * width, width, channel(6 * which + 5));
            }
            for (std::size_t each = 0; each < hidden_; ++each)
                std::memcpy(channel(kSeenChannels + each), state_ + each * dims_.chroma() + row * width,
                            width * sizeof(float));
            turn(scratch, channels, width, width, seen_ + row * width * channels, channels);
        }
    }
}

std::size_t RTOutput::memory_floats(const GridDims& dims) noexcept {
    return dims.rows * (6 * means_pitch(dims) + 3 * dims.columns);
}

std::size_t RTOutput::scratch_floats(const GridDims& dims) noexcept {
    return std::max({LumaLayout(dims).total, ChromaLayout(dims).total, 2 * kLowTaps * turned_pitch(dims)});
}

RTOutput::RTOutput(const GridDims& dims, const float* kernels, const FramePlanes& now, const FramePlanes& before,
                   float* y, float* uv, float* memory) noexcept
    : dims_(dims), kernels_(kernels), sources_{now, before}, clean_{y, uv} {
    for (auto& source : means_) {
        for (float*& plane : source) {
            plane = memory;
            memory += dims.rows * means_pitch(dims);
        }
    }
    for (float*& plane : low_) {
        plane = memory;
        memory += dims.cells();
    }
}

MALLE_MULTIVERSION
void RTOutput::average_rows(std::size_t first, std::size_t last) noexcept {
    const std::size_t pitch = means_pitch(dims_), columns = dims_.columns;
    for (std::size_t source = 0; source < 2; ++source) {
        for (std::size_t row = first; row < last; ++row) {
            for (std::size_t plane = 0; plane < 3; ++plane) {
                float* line = means_[source][plane] + row * pitch;
                if (plane == 0) {
                    average<4>(sources_[source].y + row * columns * 16, columns, line + kReach);
                } else {
                    average<2>(sources_[source].uv + (plane - 1) * dims_.chroma() + row * columns * 4, columns,
                               line + kReach);
                }
                std::fill(line, line + kReach, line[kReach]);
                std::fill(line + kReach + columns, line + pitch, line[kReach + columns - 1]);
            }
        }
    }
}

MALLE_MULTIVERSION
void RTOutput::low_rows(std::size_t first, std::size_t last, float* scratch) noexcept {
    const std::size_t columns = dims_.columns, pitch = turned_pitch(dims_);
    constexpr std::size_t firsts[2] = {kLumaLowFirst, kChromaLowFirst};
    for (std::size_t row = first; row < last; ++row) {
        for (std::size_t group = 0; group < 2; ++group) {  // luma, chroma
            turn(kernels_ + row * columns * kKernelChannels + firsts[group], columns, 2 * kLowTaps, kKernelChannels,
                 scratch, pitch);
            for (std::size_t plane = group; plane < 1 + 2 * group; ++plane) {
                float* __restrict out = low_[plane] + row * columns;
                std::fill(out, out + columns, 0.0F);
                for (std::size_t source = 0; source < 2; ++source) {
                    for (std::size_t down = 0; down < kLow; ++down) {
                        // Beyond the picture its edges go on.
                        const std::size_t at = row + down < kReach ? 0 : std::min(row + down - kReach, dims_.rows - 1);
                        const float* __restrict means = means_[source][plane] + at * means_pitch(dims_);
                        const float* __restrict taps = scratch + (source * kLowTaps + down * kLow) * pitch;
                        for (std::size_t i = 0; i < columns; ++i) {
                            float sum = out[i];
#pragma GCC unroll 5
                            for (std::size_t tap = 0; tap < kLow; ++tap) sum += taps[tap * pitch + i] * means[i + tap];
                            out[i] = sum;
                        }
                    }
                }
            }
        }
    }
}

MALLE_MULTIVERSION
void RTOutput::fine_rows(std::size_t first, std::size_t last, float* scratch) const noexcept {
    const std::size_t pitch = means_pitch(dims_);
    {
        const LumaLayout layout(dims_);
        FineLines<kLumaFine, kGridStride> lines[2][1];
        for (std::size_t source = 0; source < 2; ++source)
            lines[source][0] = {sources_[source].y, means_[source][0] + kReach, pitch,
                                scratch + source * layout.source_pitch};
        both_bands(dims_, kernels_, lines, low_, clean_[0], first, last, scratch);
    }
    const ChromaLayout layout(dims_);
    FineLines<kChromaFine, kGridStride / 2> lines[2][2];
    for (std::size_t source = 0; source < 2; ++source) {
        for (std::size_t plane = 0; plane < 2; ++plane)
            lines[source][plane] = {sources_[source].uv + plane * dims_.chroma(), means_[source][1 + plane] + kReach,
                                    pitch, scratch + (2 * source + plane) * layout.source_pitch};
    }
    both_bands(dims_, kernels_ + kChromaFineFirst, lines, low_ + 1, clean_[1], first, last, scratch);
}

}  // namespace malle
