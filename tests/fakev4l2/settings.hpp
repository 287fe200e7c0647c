// What the tests ask of the camera, by environment variables; tests/helpers/cameras.py writes them.
#pragma once

#include <cstdint>
#include <string>

struct Settings {
    int cameras = 1;           // FAKEV4L2_CAMERAS: how many are plugged in; camera n is /dev/video(2n)
    bool busy = false;         // FAKEV4L2_BUSY: another program streams from them
    bool denied = false;       // FAKEV4L2_DENIED: the user may not open them
    long unplug_after = -1;    // FAKEV4L2_UNPLUG_AFTER: frames of a stream, then the camera is gone
    double replug_after = -1;  // FAKEV4L2_REPLUG_SECONDS: it comes back then; without it, never
    long stall_after = -1;     // FAKEV4L2_STALL_AFTER: frames of a stream, then no more come
    uint32_t most_width = 0;   // FAKEV4L2_MOST_WIDTH: no wider mode is given, whatever the list says
    double noise = 0;          // FAKEV4L2_NOISE: standard deviation of noise on all samples
    std::string film;          // FAKEV4L2_FILM: JPEG pictures; there is no MJPG mode without them
};

// Read once, when first asked for.
const Settings& settings();
