#include "device.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "pictures.hpp"
#include "settings.hpp"

namespace {

using Clock = std::chrono::steady_clock;

// Enough to keep the file readable for good: whoever waits for it learns that the camera is gone.
constexpr eventfd_t kForGood = 1u << 20;

std::atomic<int> streaming_devices[64];
std::atomic<Clock::rep> unplugged_at{0};

// A camera has a node for pictures and, as USB cameras have, one for metadata beside it.
bool gives_pictures(int number) { return number % 2 == 0; }

std::vector<Mode> modes() {
    std::vector<Mode> all = {
        {V4L2_PIX_FMT_YUYV, 640, 480, {30, 15}},
        {V4L2_PIX_FMT_YUYV, 320, 240, {30}},
        {V4L2_PIX_FMT_YUYV, 1280, 720, {10}},
    };
    if (film() != nullptr) all.push_back({V4L2_PIX_FMT_MJPEG, film()->width, film()->height, {30}});
    return all;
}

std::vector<Mode> modes_of(uint32_t fourcc) {
    std::vector<Mode> found;
    for (const Mode& mode : modes()) {
        if (mode.fourcc == fourcc) found.push_back(mode);
    }
    return found;
}

// The mode nearest to what was asked for, as drivers choose it.
Mode nearest(const v4l2_pix_format& wanted) {
    std::vector<Mode> choice = modes_of(wanted.pixelformat);
    if (choice.empty()) choice = modes_of(V4L2_PIX_FMT_YUYV);
    const uint32_t most = settings().most_width;
    const auto distance = [&](const Mode& mode) {
        const long area = static_cast<long>(wanted.width) * wanted.height;
        return most != 0 && mode.width > most ? 1l << 40 : std::labs(area - static_cast<long>(mode.width) * mode.height);
    };
    return *std::min_element(choice.begin(), choice.end(),
                             [&](const Mode& a, const Mode& b) { return distance(a) < distance(b); });
}

int list_formats(v4l2_fmtdesc& answer) {
    if (answer.type != V4L2_BUF_TYPE_VIDEO_CAPTURE || answer.index > (film() != nullptr ? 1u : 0u)) return EINVAL;
    answer.pixelformat = answer.index == 0 ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_MJPEG;
    answer.flags = answer.index == 0 ? 0 : V4L2_FMT_FLAG_COMPRESSED;
    std::snprintf(reinterpret_cast<char*>(answer.description), sizeof(answer.description), "%s",
                  answer.index == 0 ? "YUYV 4:2:2" : "Motion-JPEG");
    return 0;
}

int list_sizes(v4l2_frmsizeenum& answer) {
    const std::vector<Mode> found = modes_of(answer.pixel_format);
    if (answer.index >= found.size()) return EINVAL;
    answer.type = V4L2_FRMSIZE_TYPE_DISCRETE;
    answer.discrete = {found[answer.index].width, found[answer.index].height};
    return 0;
}

int list_rates(v4l2_frmivalenum& answer) {
    for (const Mode& mode : modes_of(answer.pixel_format)) {
        if (mode.width != answer.width || mode.height != answer.height || answer.index >= mode.rates.size()) continue;
        answer.type = V4L2_FRMIVAL_TYPE_DISCRETE;
        answer.discrete = {1, mode.rates[answer.index]};
        return 0;
    }
    return EINVAL;
}

}  // namespace

int may_open(int number) {
    if (number < 0 || number >= 2 * settings().cameras) return ENOENT;
    if (const Clock::rep at = unplugged_at) {
        const std::chrono::duration<double> gone = Clock::now().time_since_epoch() - Clock::duration(at);
        if (settings().replug_after < 0 || gone.count() < settings().replug_after) return ENOENT;
        unplugged_at = 0;
    }
    return settings().denied ? EACCES : 0;
}

Device::Device(int number, int ready, bool blocking)
    : number_(number),
      ready_(ready),
      blocking_(blocking),
      mode_(modes().front()),
      rate_(mode_.rates.front()),
      stream_(ready, [this] { unplug(); }) {}

Device::~Device() {
    if (stream_.buffers() != 0) --streaming_devices[number_];
}

void Device::unplug() {
    gone_ = true;
    unplugged_at = Clock::now().time_since_epoch().count();
    eventfd_write(ready_, kForGood);
}

int Device::control(unsigned request, void* argument) {
    if (gone_) return ENODEV;
    if (request == VIDIOC_QUERYCAP) return capability(*static_cast<v4l2_capability*>(argument));
    if (!gives_pictures(number_)) return EINVAL;
    switch (request) {
        case VIDIOC_ENUM_FMT: return list_formats(*static_cast<v4l2_fmtdesc*>(argument));
        case VIDIOC_ENUM_FRAMESIZES: return list_sizes(*static_cast<v4l2_frmsizeenum*>(argument));
        case VIDIOC_ENUM_FRAMEINTERVALS: return list_rates(*static_cast<v4l2_frmivalenum*>(argument));
        case VIDIOC_G_FMT: return get_format(*static_cast<v4l2_format*>(argument));
        case VIDIOC_S_FMT: return set_format(*static_cast<v4l2_format*>(argument), true);
        case VIDIOC_TRY_FMT: return set_format(*static_cast<v4l2_format*>(argument), false);
        case VIDIOC_G_PARM: return get_rate(*static_cast<v4l2_streamparm*>(argument));
        case VIDIOC_S_PARM: return set_rate(*static_cast<v4l2_streamparm*>(argument));
        case VIDIOC_REQBUFS: return request_buffers(*static_cast<v4l2_requestbuffers*>(argument));
        case VIDIOC_QUERYBUF: return stream_.describe(*static_cast<v4l2_buffer*>(argument));
        case VIDIOC_QBUF: return stream_.queue(static_cast<v4l2_buffer*>(argument)->index);
        case VIDIOC_DQBUF: return dequeue(*static_cast<v4l2_buffer*>(argument));
        case VIDIOC_STREAMON: return stream_.start(mode_, rate_);
        case VIDIOC_STREAMOFF: stream_.stop(); return 0;
        default: return EINVAL;  // controls and inputs: it has none
    }
}

int Device::capability(v4l2_capability& answer) const {
    answer = {};
    const char letter = static_cast<char>('A' + number_ / 2);
    std::snprintf(reinterpret_cast<char*>(answer.driver), sizeof(answer.driver), "fakev4l2");
    std::snprintf(reinterpret_cast<char*>(answer.card), sizeof(answer.card), "Fake Camera %c", letter);
    std::snprintf(reinterpret_cast<char*>(answer.bus_info), sizeof(answer.bus_info), "usb-fake-%d", number_ / 2 + 1);
    answer.version = 6 << 16;
    // As the driver of USB cameras does: the first field is of the camera, only the second of this node.
    answer.capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
    answer.device_caps =
        (gives_pictures(number_) ? V4L2_CAP_VIDEO_CAPTURE : V4L2_CAP_META_CAPTURE) | V4L2_CAP_STREAMING;
    return 0;
}

// Whether another open file streams from this camera; the one with buffers owns it.
bool Device::taken() const {
    return settings().busy || streaming_devices[number_] > (stream_.buffers() != 0 ? 1 : 0);
}

int Device::get_format(v4l2_format& answer) const {
    if (answer.type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return EINVAL;
    v4l2_pix_format& pixels = answer.fmt.pix;
    pixels = {};
    pixels.width = mode_.width;
    pixels.height = mode_.height;
    pixels.pixelformat = mode_.fourcc;
    pixels.field = V4L2_FIELD_NONE;
    pixels.bytesperline = mode_.fourcc == V4L2_PIX_FMT_MJPEG ? 0 : 2 * mode_.width;
    pixels.sizeimage = mode_.bytes();
    pixels.colorspace = V4L2_COLORSPACE_SRGB;
    return 0;
}

int Device::set_format(v4l2_format& wanted, bool keep) {
    if (wanted.type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return EINVAL;
    if (keep && (taken() || stream_.buffers() != 0)) return EBUSY;
    const Mode before = mode_;
    mode_ = nearest(wanted.fmt.pix);
    get_format(wanted);
    if (keep) {
        rate_ = mode_.rates.front();
    } else {
        mode_ = before;
    }
    return 0;
}

int Device::get_rate(v4l2_streamparm& answer) const {
    if (answer.type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return EINVAL;
    answer.parm.capture = {};
    answer.parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    answer.parm.capture.timeperframe = {1, rate_};
    return 0;
}

int Device::set_rate(v4l2_streamparm& wanted) {
    const v4l2_fract interval = wanted.parm.capture.timeperframe;
    const double asked = interval.numerator != 0 ? static_cast<double>(interval.denominator) / interval.numerator : 30;
    rate_ = *std::min_element(mode_.rates.begin(), mode_.rates.end(), [asked](uint32_t a, uint32_t b) {
        return std::abs(a - asked) < std::abs(b - asked);
    });
    return get_rate(wanted);
}

int Device::request_buffers(v4l2_requestbuffers& wanted) {
    if (wanted.type != V4L2_BUF_TYPE_VIDEO_CAPTURE || wanted.memory != V4L2_MEMORY_MMAP) return EINVAL;
    if (taken()) return EBUSY;
    const bool had = stream_.buffers() != 0;
    if (const int error = stream_.request(wanted.count, mode_.bytes())) return error;
    wanted.count = stream_.buffers();
    streaming_devices[number_] += (wanted.count != 0 ? 1 : 0) - (had ? 1 : 0);
    return 0;
}

int Device::dequeue(v4l2_buffer& buffer) {
    int error = stream_.dequeue(buffer);
    while (error == EAGAIN && blocking_ && !gone_) {
        pollfd waiting{ready_, POLLIN, 0};
        poll(&waiting, 1, 100);
        error = stream_.dequeue(buffer);
    }
    return gone_ ? ENODEV : error;
}
