#include "pictures.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "settings.hpp"

namespace {

constexpr uint32_t kIndexRows = 8, kIndexBits = 16;
constexpr uint8_t kBlack = 16, kWhite = 235, kGray = 128;

// Noise that is near enough to Gaussian: the sum of four random bytes.
class Noise {
public:
    Noise(uint32_t seed, double sigma) : state_(seed * 2654435761ull + 88172645463325252ull), scale_(sigma / 147.8) {}

    uint8_t on(int value) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        const uint64_t bits = state_ >> 16;
        const int sum = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24 & 255) - 510;
        const long noisy = std::lround(value + sum * scale_);
        return static_cast<uint8_t>(std::clamp<long>(noisy, 0, 255));
    }

private:
    uint64_t state_;
    double scale_;
};

uint8_t index_sample(uint32_t x, uint32_t width, uint32_t index) {
    const uint32_t bit = kIndexBits - 1 - x / (width / kIndexBits);
    return (index >> bit & 1) != 0 ? kWhite : kBlack;
}

std::vector<float> wave(uint32_t length, double period, double shift) {
    std::vector<float> samples(length);
    for (uint32_t i = 0; i < length; ++i) {
        samples[i] = static_cast<float>(std::sin((i + shift) / period));
    }
    return samples;
}

struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
};

// Format of the file: width, height, count; then for each picture its size and its bytes. Numbers have 32 bits.
Film* read_film(const char* path) {
    const std::unique_ptr<std::FILE, Close> file(std::fopen(path, "rb"));
    uint32_t header[3], size;
    if (file == nullptr || std::fread(header, sizeof(header), 1, file.get()) != 1) return nullptr;
    auto found = std::make_unique<Film>(Film{header[0], header[1], {}});
    for (uint32_t i = 0; i < header[2]; ++i) {
        if (std::fread(&size, sizeof(size), 1, file.get()) != 1) return nullptr;
        std::vector<uint8_t> picture(size);
        if (std::fread(picture.data(), size, 1, file.get()) != 1) return nullptr;
        found->pictures.push_back(std::move(picture));
    }
    return found.release();
}

}  // namespace

void draw_yuyv(uint8_t* target, uint32_t width, uint32_t height, uint32_t index, double sigma) {
    Noise noise(index, sigma);
    const auto across = wave(width, 9, 2.0 * index), down = wave(height, 7, 0), coarse = wave(width, 60, 2.0 * index);
    for (uint32_t y = 0; y < height; ++y) {
        for (uint32_t x = 0; x < width; ++x) {
            uint8_t* sample = target + 2 * (static_cast<size_t>(y) * width + x);
            if (y < kIndexRows) {
                sample[0] = index_sample(x, width, index);
                sample[1] = kGray;
                continue;
            }
            const int luma = static_cast<int>(118 + 45 * across[x] * down[y]);
            const int chroma = static_cast<int>(kGray + (x % 2 == 0 ? 20 : -20) * coarse[x]);
            sample[0] = sigma > 0 ? noise.on(luma) : static_cast<uint8_t>(luma);
            sample[1] = sigma > 0 ? noise.on(chroma) : static_cast<uint8_t>(chroma);
        }
    }
}

size_t Film::largest() const {
    size_t most = 0;
    for (const auto& picture : pictures) most = std::max(most, picture.size());
    return most;
}

const Film* film() {
    static const Film* const found = settings().film.empty() ? nullptr : read_film(settings().film.c_str());
    return found;
}
