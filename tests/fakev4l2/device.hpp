// One open file of a camera, and what the ioctls of Video4Linux do with it.
#pragma once

#include <linux/videodev2.h>

#include <atomic>
#include <memory>

#include "stream.hpp"

class Device {
public:
    // `ready` is the eventfd that the program under test holds as the open file.
    Device(int number, int ready, bool blocking);
    ~Device();

    // As ioctl(2) does; returns 0 or an errno.
    int control(unsigned request, void* argument);

    int memory() const { return stream_.memory(); }

private:
    int capability(v4l2_capability& answer) const;
    int get_format(v4l2_format& answer) const;
    int set_format(v4l2_format& wanted, bool keep);
    int get_rate(v4l2_streamparm& answer) const;
    int set_rate(v4l2_streamparm& wanted);
    int request_buffers(v4l2_requestbuffers& wanted);
    int dequeue(v4l2_buffer& buffer);
    bool taken() const;
    void unplug();

    const int number_, ready_;
    const bool blocking_;
    std::atomic<bool> gone_{false};
    Mode mode_;
    uint32_t rate_;
    Stream stream_;
};

// 0 if /dev/videoN can be opened now, or an errno.
int may_open(int number);
