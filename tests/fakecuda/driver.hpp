// A host implementation of the CUDA driver API, made to find mistakes rather than to be fast.
//
// Built as libcuda.so.1 and loaded before the real bindings, which then call it unchanged. What it adds to the truth:
// - work is not executed when it is put into a stream but when somebody waits, in an order drawn from a seed among
//   all orders that the streams and events allow: what is only ordered by luck goes wrong for some seed;
// - fresh memory holds NaN, freed memory is kept and watched, every block has guard bytes;
// - every call can be made to fail.
// It does not know: texture, arrays, managed memory, memory pools, the default stream, peers, shared-memory limits.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <deque>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace fake {

// The driver's own numbers, from cuda.h.
enum Result : int {
    kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNotInitialized = 3, kNoDevice = 100, kInvalidDevice = 101,
    kInvalidImage = 200, kInvalidContext = 201, kNoBinaryForGpu = 209, kInvalidPtx = 218,
    kUnsupportedPtxVersion = 222, kInvalidHandle = 400, kNotFound = 500, kNotReady = 600, kIllegalAddress = 700,
    kLaunchFailed = 719, kNotSupported = 801, kCaptureUnsupported = 900, kCaptureInvalidated = 901,
    kCaptureMerge = 902, kCaptureUnmatched = 903, kCaptureUnjoined = 904, kCaptureIsolation = 905,
    kCaptureImplicit = 906, kCapturedEvent = 907, kCaptureWrongThread = 908,
};
const char* error_name(int code);   // nullptr for a number it does not know
const char* error_text(int code);

using DevicePointer = unsigned long long;
constexpr DevicePointer kStrayAddress = 1ull << 36;  // an 8-byte argument from here ...
constexpr DevicePointer kNoAddress = 1ull << 48;     // ... to here can only be an address

// ---- memory (memory.cpp)

struct Block {
    unsigned char* outer;  // what the system gave: guard, memory, guard
    size_t bytes;
    bool pinned;
    size_t mapped = 0;  // pages of its own, the last one out of reach, where the knob "guard_pages" is set; else 0
    uintptr_t begin() const;
    bool holds(uintptr_t address, size_t count) const;
};
int allocate(size_t bytes, bool pinned, uintptr_t* address);
int release(uintptr_t address, bool pinned);
const Block* find_block(uintptr_t address);  // live blocks only
bool on_device(DevicePointer address, size_t count);
bool stray(DevicePointer argument);           // looks like an address and belongs to no live block
void inspect_memory();                        // guards of live blocks, and writes into freed ones
void forget_memory();

// ---- streams and events (streams.cpp), graphs (graphs.cpp)

struct Mark {  // what one cuEventRecord stands for
    bool passed = false;
    double milliseconds = 0;
    struct Capture* capture = nullptr;  // recorded while captured: a dependency, not a moment
    std::vector<int> nodes;
};
using MarkPointer = std::shared_ptr<Mark>;

struct Work {  // what can be captured: a kernel, a copy, a host function
    std::string name;
    std::function<int()> run;
    bool calls_host = false;  // runs the caller's code, so without our lock
};

struct Node {
    Work work;
    std::vector<int> after;  // indices of the nodes before it
};

struct GraphTemplate {
    std::vector<Node> nodes;
};

struct Capture : GraphTemplate {
    struct Stream* origin = nullptr;
    std::thread::id thread;
    int mode = 0;
    bool invalid = false;
};

struct Replay {  // one launch of a graph, part of it may have run
    std::shared_ptr<const GraphTemplate> graph;
    std::vector<char> started, finished;
    bool done() const;
    std::vector<int> ready() const;
};

struct Operation {  // exactly one of them is set
    Work work;
    MarkPointer wait, record;
    std::shared_ptr<Replay> replay;
};

struct Stream {
    long long serial = 0;  // order of creation: addresses would make a seed mean something else in every process
    std::deque<Operation> queue;
    bool busy = false;     // its head is running on some thread
    bool destroyed = false;
    bool blocking = false;  // made without CU_STREAM_NON_BLOCKING
    Capture* capture = nullptr;
    std::vector<int> tail;  // nodes that the next captured one follows
};

struct Event {
    MarkPointer last;
    bool timing = true;
};

using Lock = std::unique_lock<std::mutex>;
int put(Stream* stream, Work work);       // into the queue, or into the capture
bool step(Lock& lock);                    // run one piece of work of some stream; false: none is ready
int drain(Stream* stream, Lock& lock);
int drain_all(Lock& lock, bool only_blocking);
int unsafe_in_capture();                  // for calls that CUDA refuses on a thread that captures
int legacy_in_capture();                  // for work on the default stream, which blocking streams wait for
void invalidate(Capture* capture);
void add_node(Stream* stream, Work work);

// ---- kernels (modules.cpp)

int open_kernels(const char* path);
void close_kernels();

// ---- everything there is (state.cpp)

struct Module { std::vector<std::string*> names; };
struct Failure { long long countdown; int code; };

struct State {
    std::mutex mutex;
    std::mt19937_64 random{0};
    double stickiness = 0;  // chance that the stream which ran last runs again
    Stream* last_run = nullptr;
    long long streams_made = 0;
    int vain_queries = 0;   // in a row
    bool initialized = false;
    int broken = 0;         // the error that a failed kernel or copy left in the context
    std::map<std::string, long long> knobs, calls;
    std::map<std::string, Failure> failures;
    std::vector<std::string> problems;
    std::map<uintptr_t, Block> blocks, freed;
    std::set<Stream*> streams, zombies;  // zombies: destroyed with work left
    std::set<Event*> events;
    std::set<Module*> modules;
    std::set<std::string*> functions;
    std::set<GraphTemplate*> graphs;
    std::map<void*, std::shared_ptr<const GraphTemplate>> executables;
    std::set<Capture*> captures;
    std::vector<Capture*> ended;
    std::map<int, int> retained;  // primary contexts: device -> count
    std::map<int, unsigned> context_flags;
};
State& state();
void reset();
void problem(const std::string& text);  // a mistake that no error code reports
int injected(const std::string& name);  // the error that this call was told to fail with, or 0

// Contexts of the calling thread; the address of an element of `primary` is the handle.
extern char primary[64];
std::vector<char*>& context_stack();

enum Needs { kNothing, kDriver, kContext, kHealthy };  // each needs what stands before it, too

// Held while an entry point runs: counts it, and finds reasons why it must fail.
struct Call {
    Call(const char* name, Needs needs);
    Lock lock;
    int code;
};

}  // namespace fake

#define ENTER(name, needs)         \
    fake::Call call(name, needs);  \
    if (call.code) return call.code
#define API extern "C" __attribute__((visibility("default"))) int
