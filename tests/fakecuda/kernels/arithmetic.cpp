// Kernels for the tests of the driver itself, behind the two exports that the host build of our .cu files has too.
#include <cstring>

static void add(void** params) {  // add(float* data, float value, int count)
    auto* data = *static_cast<float**>(params[0]);
    for (int i = 0; i < *static_cast<int*>(params[2]); ++i) data[i] += *static_cast<float*>(params[1]);
}

static void average(void** params) {  // average(float* out, const float* a, const float* b, int count)
    auto* out = *static_cast<float**>(params[0]);
    const auto* a = *static_cast<const float**>(params[1]);
    const auto* b = *static_cast<const float**>(params[2]);
    for (int i = 0; i < *static_cast<int*>(params[3]); ++i) out[i] = (a[i] + b[i]) / 2;
}

static void broken(void**) {}  // broken(): its launch fails

struct Kernel {
    const char* name;
    void (*run)(void**);
    int count;
    unsigned sizes[4];
};

static const Kernel kKernels[] = {
    {"add", add, 3, {8, 4, 4}},
    {"average", average, 4, {8, 8, 8, 4}},
    {"broken", broken, 0, {}},
};

static const Kernel* find(const char* name) {
    for (const auto& kernel : kKernels)
        if (!std::strcmp(kernel.name, name)) return &kernel;
    return nullptr;
}

extern "C" __attribute__((visibility("default"))) int malle_host_params(const char* name, unsigned sizes[], int most) {
    const Kernel* kernel = find(name);
    if (!kernel || kernel->count > most) return -1;
    std::memcpy(sizes, kernel->sizes, sizeof(unsigned) * static_cast<unsigned>(kernel->count));
    return kernel->count;
}

extern "C" __attribute__((visibility("default"))) int malle_host_launch(const char* name, const unsigned[3], const unsigned[3], void** params) {
    const Kernel* kernel = find(name);
    if (!kernel || kernel->run == broken) return 1;
    kernel->run(params);
    return 0;
}
