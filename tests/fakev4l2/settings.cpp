#include "settings.hpp"

#include <cstdlib>

namespace {

double number(const char* name, double otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr && *text != '\0' ? std::atof(text) : otherwise;
}

Settings read_settings() {
    Settings found;
    found.cameras = static_cast<int>(number("FAKEV4L2_CAMERAS", 1));
    found.busy = number("FAKEV4L2_BUSY", 0) != 0;
    found.denied = number("FAKEV4L2_DENIED", 0) != 0;
    found.unplug_after = static_cast<long>(number("FAKEV4L2_UNPLUG_AFTER", -1));
    found.replug_after = number("FAKEV4L2_REPLUG_SECONDS", -1);
    found.stall_after = static_cast<long>(number("FAKEV4L2_STALL_AFTER", -1));
    found.most_width = static_cast<uint32_t>(number("FAKEV4L2_MOST_WIDTH", 0));
    found.noise = number("FAKEV4L2_NOISE", 0);
    const char* film = std::getenv("FAKEV4L2_FILM");
    found.film = film != nullptr ? film : "";
    return found;
}

}  // namespace

const Settings& settings() {
    static const Settings* const found = new Settings(read_settings());
    return *found;
}
