// What the driver knows, what a call needs before it may run, and the error codes with their texts.
#include "driver.hpp"

namespace fake {

char primary[64];

State& state() {
    static State* only = new State;  // never destroyed: threads of the program may outlive static objects
    return *only;
}

std::vector<char*>& context_stack() {
    thread_local std::vector<char*> stack;
    return stack;
}

void problem(const std::string& text) { state().problems.push_back(text); }

int injected(const std::string& name) {
    auto found = state().failures.find(name);
    if (found == state().failures.end() || --found->second.countdown > 0) return kSuccess;
    const int code = found->second.code;
    state().failures.erase(found);
    return code;
}

Call::Call(const char* name, Needs needs) : lock(state().mutex), code(kSuccess) {
    ++state().calls[name];
    code = injected(name);
    if (!code && needs >= kDriver && !state().initialized) code = kNotInitialized;
    if (!code && needs >= kContext && (context_stack().empty() || !context_stack().back())) code = kInvalidContext;
    if (!code && needs >= kHealthy) code = state().broken;
}

static void set_defaults() {
    // No device until a test asks for one: the rest of the process must not take this for a GPU.
    state().knobs = {{"devices", 0}, {"driver", 13000}, {"capability", 89}, {"memory", 8ll << 30}, {"seed", 0}, {"guard_pages", 0}};
    state().random.seed(0);
    state().stickiness = 0;
}

template <class Container>
static void delete_all(Container& pointers) {
    for (auto* pointer : pointers) delete pointer;
    pointers.clear();
}

void reset() {
    State& all = state();
    delete_all(all.streams);
    delete_all(all.zombies);
    delete_all(all.events);
    delete_all(all.graphs);
    delete_all(all.captures);
    delete_all(all.ended);
    delete_all(all.modules);
    delete_all(all.functions);
    all.executables.clear();
    all.retained.clear();
    all.context_flags.clear();
    all.calls.clear();
    all.failures.clear();
    all.problems.clear();
    forget_memory();
    close_kernels();
    all.last_run = nullptr;
    all.streams_made = 0;
    all.vain_queries = 0;
    all.initialized = false;
    all.broken = 0;
    set_defaults();
}

struct ErrorRow { int code; const char* name; const char* text; };

// Texts as the real driver gives them.
static const ErrorRow kErrors[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {902, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"},
    {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED",
     "capturing stream has unjoined work"},
    {905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
     "dependency created on uncaptured work in another stream"},
    {906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {907, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

static const ErrorRow* row(int code) {
    for (const auto& error : kErrors)
        if (error.code == code) return &error;
    return nullptr;
}
const char* error_name(int code) { return row(code) ? row(code)->name : nullptr; }
const char* error_text(int code) { return row(code) ? row(code)->text : nullptr; }

__attribute__((constructor)) static void start() { set_defaults(); }

}  // namespace fake
