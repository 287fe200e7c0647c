// The calls of the C library that reach for a camera; loaded before it by LD_PRELOAD.
//
// An open camera is an eventfd, so that select, poll and epoll work on it as they are.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>

#include "device.hpp"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

template <typename Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// Never destroyed: threads of the program may run until the very end.
struct Table {
    std::mutex mutex;
    std::map<int, std::shared_ptr<Device>> devices;
};

Table& table() {
    static Table* const one = new Table;
    return *one;
}

std::shared_ptr<Device> device_at(int file) {
    const std::lock_guard<std::mutex> lock(table().mutex);
    const auto found = table().devices.find(file);
    return found != table().devices.end() ? found->second : nullptr;
}

int failed(int error) {
    errno = error;
    return -1;
}

// The number of a path /dev/videoN, or -1.
int camera_number(const char* path) {
    int number = -1, length = 0;
    if (path == nullptr || std::sscanf(path, "/dev/video%d%n", &number, &length) != 1) return -1;
    return path[length] == '\0' ? number : -1;
}

int open_camera(int number, int flags) {
    if (const int error = may_open(number)) return failed(error);
    const int file = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    if (file < 0) return file;
    auto device = std::make_shared<Device>(number, file, (flags & O_NONBLOCK) == 0);
    const std::lock_guard<std::mutex> lock(table().mutex);
    table().devices[file] = std::move(device);
    return file;
}

mode_t mode_of(int flags, va_list& rest) {
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(rest, int)) : 0;
}

}  // namespace

#define OPEN(name)                                                                  \
    EXPORT int name(const char* path, int flags, ...) {                             \
        static auto* const real = next<int(const char*, int, ...)>(#name);          \
        va_list rest;                                                               \
        va_start(rest, flags);                                                      \
        const mode_t mode = mode_of(flags, rest);                                   \
        va_end(rest);                                                               \
        const int number = camera_number(path);                                     \
        return number >= 0 ? open_camera(number, flags) : real(path, flags, mode);  \
    }

#define OPEN_AT(name)                                                                           \
    EXPORT int name(int folder, const char* path, int flags, ...) {                             \
        static auto* const real = next<int(int, const char*, int, ...)>(#name);                 \
        va_list rest;                                                                           \
        va_start(rest, flags);                                                                  \
        const mode_t mode = mode_of(flags, rest);                                               \
        va_end(rest);                                                                           \
        const int number = camera_number(path);                                                 \
        return number >= 0 ? open_camera(number, flags) : real(folder, path, flags, mode);      \
    }

// What a program compiled with _FORTIFY_SOURCE calls.
#define OPEN_CHECKED(name)                                                   \
    EXPORT int name(const char* path, int flags) {                           \
        static auto* const real = next<int(const char*, int)>(#name);        \
        const int number = camera_number(path);                              \
        return number >= 0 ? open_camera(number, flags) : real(path, flags); \
    }

#define MMAP(name)                                                                                              \
    EXPORT void* name(void* address, size_t length, int protection, int flags, int file, off_t offset) noexcept { \
        static auto* const real = next<void*(void*, size_t, int, int, int, off_t)>(#name);                      \
        const auto device = file >= 0 ? device_at(file) : nullptr;                                              \
        return real(address, length, protection, flags, device != nullptr ? device->memory() : file, offset);   \
    }

OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)
OPEN_CHECKED(__open_2)
OPEN_CHECKED(__open64_2)
MMAP(mmap)
MMAP(mmap64)

EXPORT int ioctl(int file, unsigned long request, ...) noexcept {
    static auto* const real = next<int(int, unsigned long, ...)>("ioctl");
    va_list rest;
    va_start(rest, request);
    void* const argument = va_arg(rest, void*);
    va_end(rest);
    const auto device = device_at(file);
    if (device == nullptr) return real(file, request, argument);
    const int error = device->control(static_cast<unsigned>(request), argument);
    return error != 0 ? failed(error) : 0;
}

EXPORT int close(int file) {
    static auto* const real = next<int(int)>("close");
    std::shared_ptr<Device> device;
    {
        const std::lock_guard<std::mutex> lock(table().mutex);
        const auto found = table().devices.find(file);
        if (found != table().devices.end()) {
            device = std::move(found->second);
            table().devices.erase(found);
        }
    }
    // Its thread ends before the number of the file can be given to another one.
    device.reset();
    return real(file);
}
