#include "motion.hpp"

#include <algorithm>
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

constexpr std::size_t kRowsAtOnce = 8;  // of the exhaustive search: its sums stay in the cache

}  // namespace

std::size_t MotionSearch::memory(const MotionDims& dims) noexcept {
    std::size_t bytes = kAlign;
    for (std::size_t level = 0; level < kMotionLevels; ++level) bytes += 2 * level_bytes(dims, level);
    const std::size_t blocks = round_up(dims.blocks(), kAlign);
    return bytes + blocks * (sizeof(Motion) * (kMotionLevels + 1) + 2 * sizeof(std::uint32_t));
}

MotionSearch::MotionSearch(const MotionDims& dims, std::uint8_t* memory) noexcept : dims_(dims) {
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
        default: return choose_rows(first, last);
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

template <typename Value>
void move_rows(const Value* from, Value* to, std::size_t channels, std::size_t height, std::size_t width,
               std::size_t block, const Motion* motion, std::size_t first, std::size_t last) noexcept {
    const std::size_t columns = width / block;
    const bool half = block < kMotionBlock;
    for (std::size_t channel = 0; channel < channels; ++channel) {
        const Value* picture = from + channel * height * width;
        Value* out = to + channel * height * width;
        for (std::size_t row = first; row < last; ++row) {
            for (std::size_t column = 0; column < columns; ++column) {
                const Motion& m = motion[row * columns + column];
                const Signed down = half ? (m.down + 1) >> 1 : m.down, right = half ? (m.right + 1) >> 1 : m.right;
                const Signed left = static_cast<Signed>(column * block) + right;
                const bool inside = left >= 0 && left + static_cast<Signed>(block) <= static_cast<Signed>(width);
                for (std::size_t line = 0; line < block; ++line) {
                    const Signed y = std::clamp<Signed>(static_cast<Signed>(row * block + line) + down, 0,
                                                        static_cast<Signed>(height) - 1);
                    const Value* source = picture + y * static_cast<Signed>(width);
                    Value* target = out + (row * block + line) * width + column * block;
                    if (inside) {
                        std::memcpy(target, source + left, block * sizeof(Value));
                        continue;
                    }
                    for (std::size_t i = 0; i < block; ++i)
                        target[i] = source[std::clamp<Signed>(left + static_cast<Signed>(i), 0,
                                                              static_cast<Signed>(width) - 1)];
                }
            }
        }
    }
}

#define MALLE_MOVE(Value)                                                                                     \
    template void move_rows<Value>(const Value*, Value*, std::size_t, std::size_t, std::size_t, std::size_t, \
                                   const Motion*, std::size_t, std::size_t) noexcept;
MALLE_MOVE(float)
MALLE_MOVE(std::uint16_t)
MALLE_MOVE(std::uint8_t)

}  // namespace malle
