// Buffers, and the thread that fills them at the camera's pace.
#pragma once

#include <linux/videodev2.h>
#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

struct Mode {
    uint32_t fourcc, width, height;
    std::vector<uint32_t> rates;  // frames per second, the fastest first

    uint32_t bytes() const;
};

class Stream {
public:
    // `ready` is an eventfd that counts the filled buffers, so that select and poll need no help from us.
    // `unplug` is called by the thread when the camera's time has come.
    Stream(int ready, std::function<void()> unplug) : ready_(ready), unplug_(std::move(unplug)) {}
    ~Stream();

    // Each returns 0 or an errno.
    int request(uint32_t count, uint32_t bytes);
    int describe(v4l2_buffer& buffer);
    int queue(uint32_t index);
    int dequeue(v4l2_buffer& buffer);
    int start(const Mode& mode, uint32_t rate);
    void stop();

    uint32_t buffers() const { return static_cast<uint32_t>(slots_.size()); }
    int memory() const { return memory_; }

private:
    struct Slot {
        enum { kIdle, kQueued, kFilled } state = kIdle;
        uint32_t used = 0, sequence = 0;
        timeval instant{};
    };

    void run(Mode mode, uint32_t rate);
    void fill(uint32_t index, const Mode& mode, uint32_t sequence);
    void report(uint32_t index, v4l2_buffer& buffer) const;
    void release();

    const int ready_;
    const std::function<void()> unplug_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::thread thread_;
    bool running_ = false;
    int memory_ = -1;
    uint8_t* base_ = nullptr;
    uint32_t slot_bytes_ = 0;
    std::vector<Slot> slots_;
    std::deque<uint32_t> queued_, filled_;
};
