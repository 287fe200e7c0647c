// Device and page-locked memory: allocation, and copies that know where every block ends.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "driver.hpp"

namespace fake {

// NaN as float16 and as float32, and 255 as a byte: what is read too early stays visible to the end.
constexpr unsigned char kFresh = 0xFF, kFreed = 0xFE, kGuard = 0xFD;
constexpr size_t kGuardBytes = 256;  // also the alignment that CUDA promises

uintptr_t Block::begin() const { return reinterpret_cast<uintptr_t>(outer) + kGuardBytes; }
bool Block::holds(uintptr_t address, size_t count) const {
    return address >= begin() && count <= bytes && address - begin() <= bytes - count;
}

static size_t room(size_t bytes) { return (bytes + kGuardBytes - 1) / kGuardBytes * kGuardBytes; }

static bool all_bytes(const unsigned char* from, size_t count, unsigned char value) {
    for (size_t i = 0; i < count; ++i)
        if (from[i] != value) return false;
    return true;
}

static std::string name_of(const Block& block) {
    return std::string(block.pinned ? "page-locked" : "device") + " block of " + std::to_string(block.bytes) + " bytes";
}

// Pages of its own: what follows the block's last 16 bytes, and what lies more than a page before it, cannot be touched.
constexpr size_t kPage = 4096, kWidestLoad = 16;

static uintptr_t first_page(const Block& block) {
    const uintptr_t last = (block.begin() + block.bytes + kPage - 1) / kPage * kPage;  // the page behind it
    return last + kPage - block.mapped;
}

static Block in_pages(size_t bytes, bool pinned) {
    const size_t content = (bytes + kWidestLoad - 1) / kWidestLoad * kWidestLoad;
    const size_t inside = (content + kPage - 1) / kPage * kPage;
    void* pages = mmap(nullptr, inside + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return {nullptr, 0, pinned};
    auto* first = static_cast<unsigned char*>(pages) + kPage;
    mprotect(first, inside, PROT_READ | PROT_WRITE);
    std::memset(first, kGuard, inside);
    return {first + inside - content - kGuardBytes, bytes, pinned, inside + 2 * kPage};
}

static void inspect_guards(const Block& block) {
    if (block.mapped) return;  // whoever leaves the pages ends the process
    const unsigned char* end = block.outer + kGuardBytes + block.bytes;
    if (!all_bytes(block.outer, kGuardBytes, kGuard)) problem("written before the start of a " + name_of(block));
    if (!all_bytes(end, room(block.bytes) - block.bytes + kGuardBytes, kGuard))
        problem("written past the end of a " + name_of(block));
}

static long long device_bytes() {
    long long sum = 0;
    for (const auto& [address, block] : state().blocks)
        if (!block.pinned) sum += static_cast<long long>(block.bytes);
    return sum;
}

int allocate(size_t bytes, bool pinned, uintptr_t* address) {
    if (!bytes) return kInvalidValue;
    if (!pinned && device_bytes() + static_cast<long long>(bytes) > state().knobs["memory"]) return kOutOfMemory;
    Block block{nullptr, bytes, pinned};
    if (state().knobs["guard_pages"] && !pinned) {
        block = in_pages(bytes, pinned);
    } else {
        const size_t whole = room(bytes) + 2 * kGuardBytes;
        block.outer = static_cast<unsigned char*>(std::aligned_alloc(kGuardBytes, whole));
        if (block.outer) std::memset(block.outer, kGuard, whole);
    }
    if (!block.outer) return kOutOfMemory;
    std::memset(block.outer + kGuardBytes, kFresh, bytes);
    state().blocks[block.begin()] = block;
    *address = block.begin();
    return kSuccess;
}

int release(uintptr_t address, bool pinned) {
    auto found = state().blocks.find(address);
    if (found == state().blocks.end() || found->second.pinned != pinned) return kInvalidValue;
    const Block block = found->second;
    inspect_guards(block);
    std::memset(block.outer + kGuardBytes, kFreed, block.bytes);
    state().blocks.erase(found);
    if (block.mapped) {  // the address stays taken: whoever comes late ends the process
        mprotect(reinterpret_cast<void*>(first_page(block)), block.mapped, PROT_NONE);
        state().freed[address] = block;
        return kSuccess;
    }
    // Kept until the reset, so that its address is not given out again and late writes are seen. Host memory too:
    // an array that outlives its memory then reads poison and does not crash the tests.
    state().freed[address] = block;
    return kSuccess;
}

const Block* find_block(uintptr_t address) {
    auto after = state().blocks.upper_bound(address);
    if (after == state().blocks.begin()) return nullptr;
    const Block& block = std::prev(after)->second;
    return block.holds(address, 1) ? &block : nullptr;
}

bool on_device(DevicePointer address, size_t count) {
    const Block* block = find_block(address);
    return block && !block->pinned && block->holds(address, count);
}

bool stray(DevicePointer argument) {
    if (argument < kStrayAddress || argument >= kNoAddress) return false;
    return !find_block(argument);
}

void inspect_memory() {
    for (const auto& [address, block] : state().blocks) inspect_guards(block);
    for (const auto& [address, block] : state().freed)
        if (!block.mapped && !all_bytes(block.outer + kGuardBytes, block.bytes, kFreed))
            problem("written into a freed " + name_of(block));
}

void forget_memory() {
    for (auto* blocks : {&state().blocks, &state().freed}) {
        for (const auto& [address, block] : *blocks) {
            if (block.mapped) {
                munmap(reinterpret_cast<void*>(first_page(block)), block.mapped);
            } else {
                std::free(block.outer);
            }
        }
        blocks->clear();
    }
}

enum class Host { kPageable, kPinned, kBroken };

static Host host_kind(const void* pointer, size_t count) {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    const Block* block = find_block(address);
    if (!block) {
        auto after = state().freed.upper_bound(address);
        const bool freed = after != state().freed.begin() && std::prev(after)->second.holds(address, 1);
        return freed ? Host::kBroken : Host::kPageable;
    }
    return block->pinned && block->holds(address, count) ? Host::kPinned : Host::kBroken;
}

// Pointers are looked at twice: when the copy is asked for (then CUDA calls it an invalid argument) and when it runs
// (then the memory was freed under it).
static Work copy_work(DevicePointer target, DevicePointer source, size_t count) {
    const bool down = !find_block(target) || find_block(target)->pinned;
    const bool up = !find_block(source) || find_block(source)->pinned;
    const char* name = up ? "upload" : down ? "download" : "copy";
    return {name, [=] {
                if (!up && !on_device(source, count)) return int(kIllegalAddress);
                if (!down && !on_device(target, count)) return int(kIllegalAddress);
                for (auto [host, address] : {std::pair{up, source}, std::pair{down, target}})
                    if (host && host_kind(reinterpret_cast<void*>(address), count) == Host::kBroken)
                        return int(kIllegalAddress);
                std::memmove(reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), count);
                return int(kSuccess);
            }};
}

}  // namespace fake

using namespace fake;

static DevicePointer number(const void* pointer) { return reinterpret_cast<DevicePointer>(pointer); }

API cuMemAlloc_v2(DevicePointer* pointer, size_t bytes) {
    ENTER("cuMemAlloc", kHealthy);
    if (int refused = unsafe_in_capture()) return refused;
    uintptr_t address = 0;
    const int code = allocate(bytes, false, &address);
    if (!code) *pointer = address;
    return code;
}

API cuMemFree_v2(DevicePointer pointer) {
    ENTER("cuMemFree", kContext);
    if (int refused = unsafe_in_capture()) return refused;
    if (!pointer) return kSuccess;
    const int code = release(pointer, false);
    return code ? code : state().broken;
}

API cuMemHostAlloc(void** pointer, size_t bytes, unsigned) {
    ENTER("cuMemHostAlloc", kHealthy);
    if (int refused = unsafe_in_capture()) return refused;
    uintptr_t address = 0;
    const int code = allocate(bytes, true, &address);
    if (!code) *pointer = reinterpret_cast<void*>(address);
    return code;
}

API cuMemFreeHost(void* pointer) {
    ENTER("cuMemFreeHost", kContext);
    if (int refused = unsafe_in_capture()) return refused;
    const int code = release(number(pointer), true);
    return code ? code : state().broken;
}

API cuMemHostGetDevicePointer_v2(DevicePointer* device, void* host, unsigned) {
    ENTER("cuMemHostGetDevicePointer", kHealthy);
    if (host_kind(host, 1) != Host::kPinned) return kInvalidValue;
    *device = number(host);
    return kSuccess;
}

API cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
    ENTER("cuMemGetInfo", kHealthy);
    *total = static_cast<size_t>(state().knobs["memory"]);
    *free_bytes = *total - static_cast<size_t>(device_bytes());
    return kSuccess;
}

API cuMemGetAddressRange_v2(DevicePointer* base, size_t* size, DevicePointer pointer) {
    ENTER("cuMemGetAddressRange", kHealthy);
    const Block* block = find_block(pointer);
    if (!block) return kNotFound;
    if (base) *base = block->begin();
    if (size) *size = block->bytes;
    return kSuccess;
}

API cuMemcpyHtoDAsync_v2(DevicePointer target, const void* source, size_t count, Stream* stream) {
    ENTER("cuMemcpyHtoDAsync", kHealthy);
    const Host kind = host_kind(source, count);
    if (!on_device(target, count) || kind == Host::kBroken) return kInvalidValue;
    if (kind == Host::kPinned || (state().streams.count(stream) && stream->capture))
        return put(stream, copy_work(target, number(source), count));
    // From pageable memory CUDA takes the bytes at once, into a staging buffer.
    ++state().calls["pageable copy"];
    const auto* bytes = static_cast<const unsigned char*>(source);
    auto staged = std::make_shared<std::vector<unsigned char>>(bytes, bytes + count);
    return put(stream, {"upload", [=] {
                            if (!on_device(target, count)) return int(kIllegalAddress);
                            std::memcpy(reinterpret_cast<void*>(target), staged->data(), count);
                            return int(kSuccess);
                        }});
}

API cuMemcpyDtoHAsync_v2(void* target, DevicePointer source, size_t count, Stream* stream) {
    ENTER("cuMemcpyDtoHAsync", kHealthy);
    const Host kind = host_kind(target, count);
    if (!on_device(source, count) || kind == Host::kBroken) return kInvalidValue;
    const int code = put(stream, copy_work(number(target), source, count));
    if (code || kind == Host::kPinned || stream->capture) return code;
    ++state().calls["pageable copy"];
    return drain(stream, call.lock);  // into pageable memory the call returns when the bytes are there
}

API cuMemcpyDtoDAsync_v2(DevicePointer target, DevicePointer source, size_t count, Stream* stream) {
    ENTER("cuMemcpyDtoDAsync", kHealthy);
    if (!on_device(target, count) || !on_device(source, count)) return kInvalidValue;
    return put(stream, copy_work(target, source, count));
}

// Blocking copies wait for the default stream, so not for streams made with CU_STREAM_NON_BLOCKING.
static int copy_now(DevicePointer target, DevicePointer source, size_t count, Lock& lock) {
    if (int refused = legacy_in_capture()) return refused;
    if (int refused = unsafe_in_capture()) return refused;
    if (int failed = drain_all(lock, true)) return failed;
    step(lock);
    const int code = copy_work(target, source, count).run();
    return code ? static_cast<int>(kInvalidValue) : code;
}

API cuMemcpyHtoD_v2(DevicePointer target, const void* source, size_t count) {
    ENTER("cuMemcpyHtoD", kHealthy);
    return copy_now(target, number(source), count, call.lock);
}

API cuMemcpyDtoH_v2(void* target, DevicePointer source, size_t count) {
    ENTER("cuMemcpyDtoH", kHealthy);
    return copy_now(number(target), source, count, call.lock);
}

API cuMemcpyDtoD_v2(DevicePointer target, DevicePointer source, size_t count) {
    ENTER("cuMemcpyDtoD", kHealthy);
    return copy_now(target, source, count, call.lock);
}

API cuMemsetD8Async(DevicePointer target, unsigned char value, size_t count, Stream* stream) {
    ENTER("cuMemsetD8Async", kHealthy);
    if (!on_device(target, count)) return kInvalidValue;
    return put(stream, {"memset", [=] {
                            if (!on_device(target, count)) return int(kIllegalAddress);
                            std::memset(reinterpret_cast<void*>(target), value, count);
                            return int(kSuccess);
                        }});
}
