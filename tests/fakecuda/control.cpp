// What tests call beside the driver API: knobs, failures on demand, counts.
#include <cstring>

#include "driver.hpp"

using namespace fake;

// "seed", "devices", "driver" (13000 is 13.0), "capability" (89 is 8.9), "memory" (bytes of the device).
API fakecuda_set(const char* name, long long value) {
    Lock lock(state().mutex);
    if (!state().knobs.count(name)) return kInvalidValue;
    state().knobs[name] = value;
    if (std::strcmp(name, "seed")) return kSuccess;
    // Fair shuffling seldom lets one stream run far ahead of the others, so a seed also says how long one may run.
    static const double kStickiness[] = {0, 0.5, 0.9, 0.99};
    state().random.seed(static_cast<unsigned long long>(value));
    state().stickiness = kStickiness[state().random() % 4];
    return kSuccess;
}

API fakecuda_kernels(const char* path) {
    Lock lock(state().mutex);
    return open_kernels(path);
}

// The nth call from now (1: the next) of an entry point, named without _v2, returns `code` and does nothing.
// "execution" stands for work of a stream that fails when it runs.
API fakecuda_fail(const char* name, long long nth, int code) {
    Lock lock(state().mutex);
    state().failures[name] = {nth, code};
    return kSuccess;
}

static long long live(const std::string& what) {
    const State& all = state();
    long long contexts = 0, pinned = 0, pending = 0;
    for (const auto& [device, count] : all.retained) contexts += count;
    for (const auto& [address, block] : all.blocks) pinned += block.pinned;
    for (const Stream* stream : all.streams) pending += static_cast<long long>(stream->queue.size());
    const std::map<std::string, long long> counts = {
        {"contexts", contexts},
        {"pinned blocks", pinned},
        {"device blocks", static_cast<long long>(all.blocks.size()) - pinned},
        {"streams", static_cast<long long>(all.streams.size())},
        {"events", static_cast<long long>(all.events.size())},
        {"modules", static_cast<long long>(all.modules.size())},
        {"graphs", static_cast<long long>(all.graphs.size() + all.executables.size() + all.captures.size())},
        {"pending", pending},
    };
    const auto found = counts.find(what);
    return found == counts.end() ? -1 : found->second;
}

// Live objects of a kind, or -1.
extern "C" __attribute__((visibility("default"))) long long fakecuda_live(const char* what) {
    Lock lock(state().mutex);
    return live(what);
}

// How often an entry point was called since the reset; "pageable copy" counts copies of memory that is not page-locked.
extern "C" __attribute__((visibility("default"))) long long fakecuda_calls(const char* name) {
    Lock lock(state().mutex);
    return state().calls[name];
}

// What went wrong without an error code, one a line; looks at all memory first.
extern "C" __attribute__((visibility("default"))) const char* fakecuda_problems() {
    static std::string text;
    Lock lock(state().mutex);
    inspect_memory();
    text.clear();
    for (const auto& line : state().problems) text += line + "\n";
    return text.c_str();
}

API fakecuda_reset() {
    Lock lock(state().mutex);
    reset();
    return kSuccess;
}
