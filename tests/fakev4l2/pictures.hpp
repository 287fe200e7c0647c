// What the camera sees.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// A textured picture that pans, as YUYV. The first 8 rows of luma carry the index as 16 blocks, most significant bit
// first, as malle_rt.media.synthetic does; the width must be a multiple of 16.
void draw_yuyv(uint8_t* target, uint32_t width, uint32_t height, uint32_t index, double noise);

// JPEG pictures to be shown in turn.
struct Film {
    uint32_t width = 0, height = 0;
    std::vector<std::vector<uint8_t>> pictures;

    size_t largest() const;
};

// The film that the settings name; nullptr where they name none or it cannot be read.
const Film* film();
