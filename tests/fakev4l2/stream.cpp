#include "stream.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>

#include "pictures.hpp"
#include "settings.hpp"

namespace {

constexpr uint32_t kMostBuffers = 8, kPage = 4096;

timeval now() {
    timespec instant;
    clock_gettime(CLOCK_MONOTONIC, &instant);
    return {instant.tv_sec, instant.tv_nsec / 1000};
}

// The thread is no part of the program under test: its signals are for the program's own threads.
void block_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

}  // namespace

uint32_t Mode::bytes() const {
    return fourcc == V4L2_PIX_FMT_MJPEG ? static_cast<uint32_t>(film()->largest()) : width * height * 2;
}

Stream::~Stream() {
    stop();
    release();
}

int Stream::request(uint32_t count, uint32_t bytes) {
    if (running_) return EBUSY;
    release();
    if (count == 0) return 0;
    count = std::min(count, kMostBuffers);
    slot_bytes_ = (bytes + kPage - 1) / kPage * kPage;
    const size_t total = static_cast<size_t>(count) * slot_bytes_;
    memory_ = memfd_create("fakev4l2", MFD_CLOEXEC);
    if (memory_ < 0 || ftruncate(memory_, static_cast<off_t>(total)) != 0) return ENOMEM;
    base_ = static_cast<uint8_t*>(mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0));
    slots_.assign(count, Slot());
    return 0;
}

void Stream::release() {
    if (base_ != nullptr) munmap(base_, slots_.size() * slot_bytes_);
    if (memory_ >= 0) close(memory_);
    base_ = nullptr;
    memory_ = -1;
    slots_.clear();
}

int Stream::describe(v4l2_buffer& buffer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (buffer.index >= slots_.size()) return EINVAL;
    report(buffer.index, buffer);
    return 0;
}

int Stream::queue(uint32_t index) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (index >= slots_.size() || slots_[index].state != Slot::kIdle) return EINVAL;
    slots_[index].state = Slot::kQueued;
    queued_.push_back(index);
    return 0;
}

int Stream::dequeue(v4l2_buffer& buffer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!running_) return EINVAL;
    if (filled_.empty()) return EAGAIN;
    const uint32_t index = filled_.front();
    filled_.pop_front();
    eventfd_t one;
    eventfd_read(ready_, &one);
    slots_[index].state = Slot::kIdle;
    report(index, buffer);
    return 0;
}

void Stream::report(uint32_t index, v4l2_buffer& buffer) const {
    const Slot& slot = slots_[index];
    buffer.index = index;
    buffer.memory = V4L2_MEMORY_MMAP;
    buffer.bytesused = slot.used;
    buffer.length = slot_bytes_;
    buffer.field = V4L2_FIELD_NONE;
    buffer.sequence = slot.sequence;
    buffer.timestamp = slot.instant;
    buffer.m.offset = index * slot_bytes_;
    buffer.flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    if (slot.state == Slot::kQueued) buffer.flags |= V4L2_BUF_FLAG_QUEUED;
    if (slot.state == Slot::kFilled) buffer.flags |= V4L2_BUF_FLAG_DONE;
}

int Stream::start(const Mode& mode, uint32_t rate) {
    if (slots_.empty()) return EINVAL;
    if (running_) return 0;
    running_ = true;
    thread_ = std::thread(&Stream::run, this, mode, rate);
    return 0;
}

void Stream::stop() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        running_ = false;
        changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
    for (Slot& slot : slots_) slot.state = Slot::kIdle;
    eventfd_t one;
    for (; !filled_.empty(); filled_.pop_front()) eventfd_read(ready_, &one);
    queued_.clear();
}

void Stream::run(Mode mode, uint32_t rate) {
    block_signals();
    const auto begin = std::chrono::steady_clock::now();
    std::unique_lock<std::mutex> lock(mutex_);
    for (uint32_t sequence = 0; running_; ++sequence) {
        // As from a USB camera, a frame takes the whole interval to arrive, and its buffer must be there at its
        // beginning. Without one the frame is lost; the next one has the next index.
        const bool kept = !queued_.empty();
        const uint32_t index = kept ? queued_.front() : 0;
        if (kept) queued_.pop_front();
        const auto due = begin + std::chrono::microseconds(1000000ull * (sequence + 1) / rate);
        if (changed_.wait_until(lock, due, [this] { return !running_; })) return;
        if (settings().unplug_after >= 0 && sequence >= settings().unplug_after) {
            lock.unlock();
            unplug_();
            return;
        }
        const bool stalled = settings().stall_after >= 0 && sequence >= settings().stall_after;
        if (kept && !stalled) fill(index, mode, sequence);
    }
}

void Stream::fill(uint32_t index, const Mode& mode, uint32_t sequence) {
    Slot& slot = slots_[index];
    uint8_t* target = base_ + static_cast<size_t>(index) * slot_bytes_;
    slot.instant = now();
    slot.sequence = sequence;
    if (mode.fourcc == V4L2_PIX_FMT_MJPEG) {
        const auto& picture = film()->pictures[sequence % film()->pictures.size()];
        std::memcpy(target, picture.data(), picture.size());
        slot.used = static_cast<uint32_t>(picture.size());
    } else {
        draw_yuyv(target, mode.width, mode.height, sequence, settings().noise);
        slot.used = mode.bytes();
    }
    slot.state = Slot::kFilled;
    filled_.push_back(index);
    eventfd_write(ready_, 1);
}
