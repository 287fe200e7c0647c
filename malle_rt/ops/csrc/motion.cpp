#include "motion.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// As in malle_slice.cpp: compiled once per instruction set, the loader picks one.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define MALLE_MULTIVERSION __attribute__((target_clones("arch=skylake-avx512", "avx2", "default")))
#endif
#endif
#ifndef MALLE_MULTIVERSION
#define MALLE_MULTIVERSION
#endif

namespace malle {
namespace {

using Byte = std::uint8_t;
using Signed = std::ptrdiff_t;

constexpr std::size_t kCoarsest = kMotionLevels - 1;
constexpr int kReach = 4;        // of the search at the coarsest level
constexpr int kHalo = 2;         // of its window, 5 x 5, around a pixel
constexpr std::size_t kNearby = 2;     // blocks on each side that decide together
constexpr std::uint32_t kBetter = 20;  // one part in so many
// Of the eighths of a pixel that are left, see malle_rt/ops/motion.py.
constexpr std::int64_t kFarthest = 5, kSure = 20, kDamping = 4;
// Pixels around each level's picture: half a window and the farthest displacement, 1 more than twice the coarser one's.
constexpr std::size_t kMargins[kMotionLevels] = {48, 24, 16, 8};
// Windows of the finer levels; the coarsest has its own.
constexpr std::size_t kWindows[kCoarsest] = {16, 8, 8};
constexpr std::size_t kAlign = 64;

constexpr std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

std::size_t pitch_of(const MotionDims& dims, std::size_t level) noexcept {
    return round_up((dims.width >> level) + 2 * kMargins[level], kAlign);
}

std::size_t level_bytes(const MotionDims& dims, std::size_t level) noexcept {
    return pitch_of(dims, level) * ((dims.height >> level) + 2 * kMargins[level]);
}

// Repeat the edges of a picture into its margin.
void pad(Byte* picture, std::size_t pitch, std::size_t height, std::size_t width, std::size_t margin) noexcept {
    for (std::size_t row = 0; row < height; ++row) {
        Byte* line = picture + row * pitch;
        std::memset(line - margin, line[0], margin);
        std::memset(line + width, line[width - 1], margin);
    }
    const std::size_t whole = width + 2 * margin;
    Byte* top = picture - margin;
    Byte* bottom = top + (height - 1) * pitch;
    for (std::size_t row = 1; row <= margin; ++row) {
        std::memcpy(top - row * pitch, top, whole);
        std::memcpy(bottom + row * pitch, bottom, whole);
    }
}

MALLE_MULTIVERSION
void halve(const Byte* fine, std::size_t fine_pitch, Byte* coarse, std::size_t pitch, std::size_t height,
           std::size_t width) noexcept {
    for (std::size_t row = 0; row < height; ++row) {
        const Byte* __restrict top = fine + 2 * row * fine_pitch;
        const Byte* __restrict bottom = top + fine_pitch;
        Byte* __restrict out = coarse + row * pitch;
        for (std::size_t i = 0; i < width; ++i)
            out[i] = static_cast<Byte>((top[2 * i] + top[2 * i + 1] + bottom[2 * i] + bottom[2 * i + 1] + 2) >> 2);
    }
}

// Sum of absolute differences of two squares.
template <std::size_t Side>
inline std::uint32_t difference(const Byte* a, const Byte* b, std::size_t pitch) noexcept {
#if defined(__SSE2__)
    __m128i sum = _mm_setzero_si128();
    if constexpr (Side == 16) {
        for (std::size_t row = 0; row < 16; ++row) {
            const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + row * pitch));
            const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + row * pitch));
            sum = _mm_add_epi64(sum, _mm_sad_epu8(x, y));
        }
    } else {
        static_assert(Side == 8);
        const auto pair = [pitch](const Byte* from) {
            return _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)),
                                      _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + pitch)));
        };
        for (std::size_t row = 0; row < 8; row += 2)
            sum = _mm_add_epi64(sum, _mm_sad_epu8(pair(a + row * pitch), pair(b + row * pitch)));
    }
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(sum) + _mm_cvtsi128_si32(_mm_unpackhi_epi64(sum, sum)));
#else
    std::uint32_t sum = 0;
    for (std::size_t row = 0; row < Side; ++row) {
        for (std::size_t i = 0; i < Side; ++i) {
            const int apart = a[row * pitch + i] - b[row * pitch + i];
            sum += static_cast<std::uint32_t>(apart < 0 ? -apart : apart);
        }
    }
    return sum;
#endif
}

// One displacement of the exhaustive search, for `rows` rows of `width` pixels: sums over 5 x 5 windows, and where they
// are the smallest so far.
MALLE_MULTIVERSION
void try_everywhere(const Byte* now, const Byte* before, std::size_t pitch, std::size_t rows, std::size_t width,
                    std::uint16_t number, std::uint16_t* __restrict lines, std::uint16_t* __restrict best,
                    std::uint16_t* __restrict which) noexcept {
    for (std::size_t row = 0; row < rows + 2 * kHalo; ++row) {
        const Byte* __restrict a = now + row * pitch;
        const Byte* __restrict b = before + row * pitch;
        std::uint16_t* __restrict line = lines + row * width;
        for (std::size_t i = 0; i < width; ++i) {
            std::uint16_t sum = 0;
#pragma GCC unroll 5
            for (int tap = 0; tap <= 2 * kHalo; ++tap) {
                const Byte x = a[i + tap], y = b[i + tap];
                sum = static_cast<std::uint16_t>(sum + (x > y ? x - y : y - x));
            }
            line[i] = sum;
        }
    }
    for (std::size_t row = 0; row < rows; ++row) {
        const std::uint16_t* __restrict line = lines + row * width;
        for (std::size_t i = 0; i < width; ++i) {
            const std::uint16_t sum = static_cast<std::uint16_t>(line[i] + line[i + width] + line[i + 2 * width] +
                                                                 line[i + 3 * width] + line[i + 4 * width]);
            const bool better = sum < best[row * width + i];
            best[row * width + i] = better ? sum : best[row * width + i];
            which[row * width + i] = better ? number : which[row * width + i];
        }
    }
}

// All displacements of the exhaustive search: none first, then those around it, nearer ones first.
struct Spiral {
    Motion at[(2 * kReach + 1) * (2 * kReach + 1)];

    Spiral() noexcept {
        std::size_t count = 0;
        for (int down = -kReach; down <= kReach; ++down)
            for (int right = -kReach; right <= kReach; ++right)
                at[count++] = {static_cast<std::int16_t>(down), static_cast<std::int16_t>(right)};
        const auto far = [](const Motion& m) { return m.down * m.down + m.right * m.right; };
        std::stable_sort(at, at + count, [&](const Motion& a, const Motion& b) { return far(a) < far(b); });
    }
};

const Spiral kSpiral;

// Sums over a block of 8 x 8 pixels; `pitch` is of both pictures.
MotionSums measure(const Byte* now, const Byte* before, Signed pitch) noexcept {
#if defined(__SSE2__)
    const auto widened = [](const Byte* from) {
        return _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)), _mm_setzero_si128());
    };
    __m128i sums[6] = {};
    for (std::size_t line = 0; line < kMotionBlock; ++line, now += pitch, before += pitch) {
        const __m128i down = _mm_sub_epi16(widened(before + pitch), widened(before - pitch));
        const __m128i right = _mm_sub_epi16(widened(before + 1), widened(before - 1));
        const __m128i apart = _mm_sub_epi16(widened(now), widened(before));
        const __m128i pairs[6][2] = {{down, down},   {right, right}, {down, right},
                                     {down, apart}, {right, apart}, {apart, apart}};
        for (std::size_t i = 0; i < 6; ++i)
            sums[i] = _mm_add_epi32(sums[i], _mm_madd_epi16(pairs[i][0], pairs[i][1]));
    }
    std::int32_t whole[6];
    for (std::size_t i = 0; i < 6; ++i) {
        const __m128i halves = _mm_add_epi32(sums[i], _mm_unpackhi_epi64(sums[i], sums[i]));
        whole[i] = _mm_cvtsi128_si32(halves) + _mm_cvtsi128_si32(_mm_srli_si128(halves, 4));
    }
    return {whole[0], whole[1], whole[2], whole[3], whole[4], whole[5]};
#else
    MotionSums sums{};
    for (std::size_t line = 0; line < kMotionBlock; ++line, now += pitch, before += pitch) {
        for (Signed i = 0; i < static_cast<Signed>(kMotionBlock); ++i) {
            const std::int32_t down = before[i + pitch] - before[i - pitch], right = before[i + 1] - before[i - 1];
            const std::int32_t apart = now[i] - before[i];
            sums.downs += down * down, sums.rights += right * right, sums.both += down * right;
            sums.down_apart += down * apart, sums.right_apart += right * apart, sums.aparts += apart * apart;
        }
    }
    return sums;
#endif
}

// Rounded down; the divisor is not negative.
template <typename Integer>
inline Integer floor_of(Integer value, Integer by) noexcept {
    const Integer cut = value / by;
    return cut - (value % by < 0 ? 1 : 0);
}

// Of the blocks around one that move like it, or by a pixel more or less. As if all had moved like it; those with `apart` are
// doubled, and its square four times. All of it fits 64 bits: sums of 25 blocks are less than 2^27.
struct Surroundings {
    std::int64_t downs = 0, rights = 0, both = 0, down_apart = 0, right_apart = 0, aparts = 0, count = 0;

    void add(const MotionSums& sums, int more_down, int more_right) noexcept {
        if (std::abs(more_down) > 1 || std::abs(more_right) > 1) return;
        downs += sums.downs, rights += sums.rights, both += sums.both;
        down_apart += 2 * sums.down_apart + more_down * sums.downs + more_right * sums.both;
        right_apart += 2 * sums.right_apart + more_down * sums.both + more_right * sums.rights;
        aparts += 4 * (sums.aparts + more_down * sums.down_apart + more_right * sums.right_apart) +
                  more_down * more_down * sums.downs + 2 * more_down * more_right * sums.both +
                  more_right * more_right * sums.rights;
        count += kMotionBlock * kMotionBlock;
    }

    // Eighths of a pixel that explain enough of what now and past are apart, or none.
    Motion part() const noexcept {
        const std::int64_t stiff_down = downs + kDamping * count, stiff_right = rights + kDamping * count;
        const std::int64_t determinant = stiff_down * stiff_right - both * both;
        const auto eighths = [&](std::int64_t solved) {
            const std::int64_t rounded = floor_of(2 * kMotionWhole * solved + determinant, 2 * determinant);
            return std::clamp(rounded, -kFarthest, kFarthest);
        };
        const std::int64_t down = eighths(stiff_right * down_apart - both * right_apart);
        const std::int64_t right = eighths(stiff_down * right_apart - both * down_apart);
        const std::int64_t less = 2 * kMotionWhole * (down * down_apart + right * right_apart) -
                                  (downs * down * down + 2 * both * down * right + rights * right * right);
        const bool sure = less * count > kSure * kMotionWhole * kMotionWhole * aparts;
        return sure ? Motion{static_cast<std::int16_t>(down), static_cast<std::int16_t>(right)} : Motion{0, 0};
    }
};

// Reading between pixels: see malle_rt/ops/motion.py.
constexpr Signed kSixteenths = 16;
constexpr std::size_t kTaps = 6;
constexpr Signed kTapsBefore = 2;
constexpr std::size_t kPatch = kMotionBlock + kTaps - 1;

struct Interpolation {
    float taps[kSixteenths][kTaps];

    Interpolation() noexcept {
        constexpr int kHalf[kSixteenths / 2 + 1][kTaps] = {
            {0, 0, 256, 0, 0, 0},       {3, -12, 254, 14, -3, 0},  {5, -22, 249, 31, -8, 1},
            {7, -29, 240, 49, -12, 1},  {8, -34, 228, 69, -17, 2}, {8, -37, 214, 91, -23, 3},
            {8, -38, 197, 112, -27, 4}, {7, -37, 177, 135, -31, 5}, {6, -35, 157, 157, -35, 6}};
        for (Signed part = 0; part < kSixteenths; ++part) {
            const bool mirrored = part > kSixteenths / 2;
            for (std::size_t i = 0; i < kTaps; ++i) {
                const int tap = mirrored ? kHalf[kSixteenths - part][kTaps - 1 - i] : kHalf[part][i];
                taps[part][i] = static_cast<float>(tap) / 256.0F;
            }
        }
    }
};

const Interpolation kInterpolation;

// A square of pixels between those from `from` on, which is that of the first tap.
template <std::size_t Side>
__attribute__((always_inline)) inline void between(const float* __restrict from, std::size_t pitch,
                                                   const float* __restrict down, const float* __restrict right,
                                                   float* __restrict to, std::size_t width) noexcept {
    float lines[Side + kTaps - 1][Side];
    for (std::size_t row = 0; row < Side + kTaps - 1; ++row) {
        const float* __restrict line = from + row * pitch;
        for (std::size_t i = 0; i < Side; ++i) {
            float sum = 0.0F;
            for (std::size_t tap = 0; tap < kTaps; ++tap) sum += right[tap] * line[i + tap];
            lines[row][i] = sum;
        }
    }
    for (std::size_t row = 0; row < Side; ++row) {
        for (std::size_t i = 0; i < Side; ++i) {
            float sum = 0.0F;
            for (std::size_t tap = 0; tap < kTaps; ++tap) sum += down[tap] * lines[row + tap][i];
            to[row * width + i] = sum;
        }
    }
}

MALLE_MULTIVERSION
void between_8(const float* from, std::size_t pitch, const float* down, const float* right, float* to,
               std::size_t width) noexcept {
    between<8>(from, pitch, down, right, to, width);
}

MALLE_MULTIVERSION
void between_4(const float* from, std::size_t pitch, const float* down, const float* right, float* to,
               std::size_t width) noexcept {
    between<4>(from, pitch, down, right, to, width);
}

struct Picture {
    Signed height, width;

    bool holds(Signed top, Signed left, Signed side) const noexcept {
        return top >= 0 && left >= 0 && top + side <= height && left + side <= width;
    }
};

// Rows and columns of a picture from (top, left) on, clamped to it.
void copy(const float* picture, const Picture& size, Signed top, Signed left, std::size_t rows, std::size_t columns,
          float* to, std::size_t pitch) noexcept {
    const bool inside = left >= 0 && left + static_cast<Signed>(columns) <= size.width;
    for (std::size_t row = 0; row < rows; ++row, to += pitch) {
        const float* line =
            picture + std::clamp<Signed>(top + static_cast<Signed>(row), 0, size.height - 1) * size.width;
        if (inside) {
            std::memcpy(to, line + left, columns * sizeof(float));
            continue;
        }
        for (std::size_t i = 0; i < columns; ++i)
            to[i] = line[std::clamp<Signed>(left + static_cast<Signed>(i), 0, size.width - 1)];
    }
}

constexpr std::size_t kRowsAtOnce = 8;  // of the exhaustive search: its sums stay in the cache

}  // namespace

std::size_t MotionSearch::memory(const MotionDims& dims) noexcept {
    std::size_t bytes = kAlign;
    for (std::size_t level = 0; level < kMotionLevels; ++level) bytes += 2 * level_bytes(dims, level);
    const std::size_t blocks = round_up(dims.blocks(), kAlign);
    return bytes + blocks * (sizeof(Motion) * (kMotionLevels + 2) + 2 * sizeof(std::uint32_t) + sizeof(MotionSums));
}

MotionSearch::MotionSearch(const MotionDims& dims, std::uint8_t* memory, bool whole) noexcept
    : dims_(dims), whole_(whole) {
    Byte* free = memory + (kAlign - reinterpret_cast<std::uintptr_t>(memory) % kAlign) % kAlign;
    for (std::size_t number = 0; number < kMotionLevels; ++number) {
        Level& level = levels_[number];
        level.pitch = pitch_of(dims, number);
        level.height = dims.height >> number;
        level.width = dims.width >> number;
        const std::size_t bytes = level_bytes(dims, number), inside = kMargins[number] * (level.pitch + 1);
        level.now = free + inside;
        level.before = free + bytes + inside;
        free += 2 * bytes;
    }
    const std::size_t blocks = round_up(dims.blocks(), kAlign);
    const auto take = [&](std::size_t size) {
        Byte* taken = free;
        free += blocks * size;
        return taken;
    };
    for (Motion*& each : found_) each = reinterpret_cast<Motion*>(take(sizeof(Motion)));
    chosen_ = reinterpret_cast<Motion*>(take(sizeof(Motion)));
    eighths_ = reinterpret_cast<Motion*>(take(sizeof(Motion)));
    sums_ = reinterpret_cast<MotionSums*>(take(sizeof(MotionSums)));
    standing_ = reinterpret_cast<std::uint32_t*>(take(sizeof(std::uint32_t)));
    moving_ = reinterpret_cast<std::uint32_t*>(take(sizeof(std::uint32_t)));
}

void MotionSearch::prepare(const std::uint8_t* now, const std::uint8_t* before) noexcept {
    const std::uint8_t* sources[2] = {now, before};
    for (std::size_t which = 0; which < 2; ++which) {
        for (std::size_t number = 0; number < kMotionLevels; ++number) {
            const Level& level = levels_[number];
            Byte* picture = which == 0 ? level.now : level.before;
            if (number == 0) {
                for (std::size_t row = 0; row < level.height; ++row)
                    std::memcpy(picture + row * level.pitch, sources[which] + row * level.width, level.width);
            } else {
                const Level& finer = levels_[number - 1];
                halve(which == 0 ? finer.now : finer.before, finer.pitch, picture, level.pitch, level.height,
                      level.width);
            }
            pad(picture, level.pitch, level.height, level.width, kMargins[number]);
        }
    }
}

void MotionSearch::step(std::size_t number, std::size_t first, std::size_t last) noexcept {
    switch (number) {
        case 0: return coarse_rows(first, last);
        case 1: return refine_rows<2>(first, last);
        case 2: return refine_rows<1>(first, last);
        case 3: return refine_rows<0>(first, last);
        case 4: return choose_rows(first, last);
        case 5: return measure_rows(first, last);
        default: return part_rows(first, last);
    }
}

void MotionSearch::coarse_rows(std::size_t first, std::size_t last) noexcept {
    const Level& level = levels_[kCoarsest];
    const std::size_t width = level.width;
    // The finest level's motion is not written before its own step: its memory, and that of what comes after it, is
    // large enough for the sums of a few rows only where the picture is wide; rows are few, so they have their own.
    constexpr std::size_t kWide = 1024;
    std::uint16_t lines[(kRowsAtOnce + 2 * kHalo) * kWide], best[kRowsAtOnce * kWide], which[kRowsAtOnce * kWide];
    for (std::size_t row = first; row < last; row += kRowsAtOnce) {
        const std::size_t rows = std::min(kRowsAtOnce, last - row);
        for (std::size_t column = 0; column < width; column += kWide) {
            const std::size_t columns = std::min(kWide, width - column);
            std::fill(best, best + rows * columns, UINT16_MAX);
            const Signed corner =
                (static_cast<Signed>(row) - kHalo) * static_cast<Signed>(level.pitch) + static_cast<Signed>(column) - kHalo;
            for (std::uint16_t number = 0; number < std::size(kSpiral.at); ++number) {
                const Motion& motion = kSpiral.at[number];
                const Signed there = corner + motion.down * static_cast<Signed>(level.pitch) + motion.right;
                try_everywhere(level.now + corner, level.before + there, level.pitch, rows, columns, number, lines,
                               best, which);
            }
            for (std::size_t r = 0; r < rows; ++r) {
                for (std::size_t i = 0; i < columns; ++i)
                    found_[kCoarsest][(row + r) * width + column + i] = kSpiral.at[which[r * columns + i]];
            }
        }
    }
}

template <std::size_t Number>
void MotionSearch::refine_rows(std::size_t first, std::size_t last) noexcept {
    constexpr std::size_t side = kMotionBlock >> Number, window = kWindows[Number], halo = (window - side) / 2;
    const Level& level = levels_[Number];
    const Motion* coarser = found_[Number + 1];
    const std::size_t rows = dims_.rows(), columns = dims_.columns();
    for (std::size_t row = first; row < last; ++row) {
        for (std::size_t column = 0; column < columns; ++column) {
            const std::size_t block = row * columns + column;
            const Signed corner = (static_cast<Signed>(row * side) - static_cast<Signed>(halo)) *
                                      static_cast<Signed>(level.pitch) +
                                  static_cast<Signed>(column * side) - static_cast<Signed>(halo);
            const Byte* now = level.now + corner;
            const auto cost = [&](int down, int right) {
                const Signed there = corner + down * static_cast<Signed>(level.pitch) + right;
                return difference<window>(now, level.before + there, level.pitch);
            };
            const std::uint32_t standing = cost(0, 0);
            std::uint32_t least = standing;
            int down = 0, right = 0;
            const auto attempt = [&](int d, int r) {
                if (d == 0 && r == 0) return;
                const std::uint32_t sum = cost(d, r);
                if (sum < least) least = sum, down = d, right = r;
            };
            const auto twice = [&](std::size_t other) { attempt(2 * coarser[other].down, 2 * coarser[other].right); };
            twice(block);
            if constexpr (Number == 2) {
                if (row > 0) twice(block - columns);
                if (row + 1 < rows) twice(block + columns);
                if (column > 0) twice(block - 1);
                if (column + 1 < columns) twice(block + 1);
            }
            const int middle_down = down, middle_right = right;
            for (int d = -1; d <= 1; ++d) {
                for (int r = -1; r <= 1; ++r) {
                    if (d != 0 || r != 0) attempt(middle_down + d, middle_right + r);
                }
            }
            found_[Number][block] = {static_cast<std::int16_t>(down), static_cast<std::int16_t>(right)};
            if constexpr (Number == 0) standing_[block] = standing, moving_[block] = least;
        }
    }
}

void MotionSearch::choose_rows(std::size_t first, std::size_t last) noexcept {
    const std::size_t rows = dims_.rows(), columns = dims_.columns();
    for (std::size_t row = first; row < last; ++row) {
        const std::size_t top = row < kNearby ? 0 : row - kNearby, bottom = std::min(rows, row + kNearby + 1);
        for (std::size_t column = 0; column < columns; ++column) {
            const std::size_t left = column < kNearby ? 0 : column - kNearby;
            const std::size_t right = std::min(columns, column + kNearby + 1);
            std::uint32_t standing = 0, moving = 0;
            for (std::size_t r = top; r < bottom; ++r) {
                for (std::size_t c = left; c < right; ++c) {
                    standing += standing_[r * columns + c];
                    moving += moving_[r * columns + c];
                }
            }
            const bool moves = (standing - moving) * kBetter > standing;
            chosen_[row * columns + column] = moves ? found_[0][row * columns + column] : Motion{0, 0};
        }
    }
}

void MotionSearch::measure_rows(std::size_t first, std::size_t last) noexcept {
    if (whole_) return;
    const Level& level = levels_[0];
    const Signed pitch = static_cast<Signed>(level.pitch);
    const std::size_t columns = dims_.columns();
    for (std::size_t row = first; row < last; ++row) {
        for (std::size_t column = 0; column < columns; ++column) {
            const std::size_t block = row * columns + column;
            const Signed corner = static_cast<Signed>(row * kMotionBlock) * pitch + static_cast<Signed>(column * kMotionBlock);
            const Motion& motion = chosen_[block];
            sums_[block] = measure(level.now + corner, level.before + corner + motion.down * pitch + motion.right, pitch);
        }
    }
}

void MotionSearch::part_rows(std::size_t first, std::size_t last) noexcept {
    const std::size_t rows = dims_.rows(), columns = dims_.columns();
    for (std::size_t row = first; row < last; ++row) {
        const std::size_t top = row < kNearby ? 0 : row - kNearby, bottom = std::min(rows, row + kNearby + 1);
        for (std::size_t column = 0; column < columns; ++column) {
            const Motion& chosen = chosen_[row * columns + column];
            Motion part{0, 0};
            if (!whole_) {
                const std::size_t left = column < kNearby ? 0 : column - kNearby;
                const std::size_t right = std::min(columns, column + kNearby + 1);
                Surroundings sums;
                for (std::size_t r = top; r < bottom; ++r) {
                    for (std::size_t c = left; c < right; ++c) {
                        const Motion& other = chosen_[r * columns + c];
                        sums.add(sums_[r * columns + c], other.down - chosen.down, other.right - chosen.right);
                    }
                }
                part = sums.part();
            }
            eighths_[row * columns + column] = {static_cast<std::int16_t>(kMotionWhole * chosen.down + part.down),
                                                static_cast<std::int16_t>(kMotionWhole * chosen.right + part.right)};
        }
    }
}

MALLE_MULTIVERSION
void to_codes(const float* __restrict luma, std::size_t count, std::uint8_t* __restrict codes) noexcept {
    constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves no bits below one
    for (std::size_t i = 0; i < count; ++i) {
        const float scaled = std::min(std::max(luma[i], 0.0F), 1.0F) * 255.0F + kRound;
        std::int32_t bits;
        std::memcpy(&bits, &scaled, sizeof bits);
        codes[i] = static_cast<Byte>(bits);
    }
}

void move_rows(const float* from, float* to, std::size_t channels, std::size_t height, std::size_t width,
               std::size_t block, bool nearest, const Motion* motion, std::size_t first, std::size_t last) noexcept {
    const Signed unit = kMotionWhole * static_cast<Signed>(kMotionBlock / block);
    const Picture size{static_cast<Signed>(height), static_cast<Signed>(width)};
    const std::size_t columns = width / block;
    for (std::size_t channel = 0; channel < channels; ++channel) {
        const float* picture = from + channel * height * width;
        float* out = to + channel * height * width;
        for (std::size_t row = first; row < last; ++row) {
            for (std::size_t column = 0; column < columns; ++column) {
                const Motion& m = motion[row * columns + column];
                const Signed half = nearest ? unit / 2 : 0;
                const Signed down = floor_of<Signed>(m.down + half, unit), right = floor_of<Signed>(m.right + half, unit);
                const Signed top = static_cast<Signed>(row * block) + down;
                const Signed left = static_cast<Signed>(column * block) + right;
                float* target = out + row * block * width + column * block;
                const Signed down_part = nearest ? 0 : (m.down - unit * down) * (kSixteenths / unit);
                const Signed right_part = nearest ? 0 : (m.right - unit * right) * (kSixteenths / unit);
                if (down_part == 0 && right_part == 0) {
                    copy(picture, size, top, left, block, block, target, width);
                    continue;
                }
                float around[kPatch * kPatch];
                const float* corner = picture + (top - kTapsBefore) * size.width + left - kTapsBefore;
                std::size_t pitch = width;
                const std::size_t side = block + kTaps - 1;
                if (!size.holds(top - kTapsBefore, left - kTapsBefore, static_cast<Signed>(side))) {
                    copy(picture, size, top - kTapsBefore, left - kTapsBefore, side, side, around, kPatch);
                    corner = around, pitch = kPatch;
                }
                const float *down_taps = kInterpolation.taps[down_part], *right_taps = kInterpolation.taps[right_part];
                if (block == kMotionBlock)
                    between_8(corner, pitch, down_taps, right_taps, target, width);
                else
                    between_4(corner, pitch, down_taps, right_taps, target, width);
            }
        }
    }
}

}  // namespace malle
