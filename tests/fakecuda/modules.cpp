// Modules and kernels. An image is only looked at; the code comes from a library built from the same .cu files.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "driver.hpp"

namespace fake {

using Params = int (*)(const char* name, unsigned sizes[], int most);
using Launch = int (*)(const char* name, const unsigned grid[3], const unsigned block[3], void** params);
constexpr int kMostParams = 64;

static void* library = nullptr;
static Params params_of = nullptr;
static Launch launch = nullptr;

void close_kernels() {
    if (library) dlclose(library);
    library = nullptr;
    params_of = nullptr;
    launch = nullptr;
}

int open_kernels(const char* path) {
    close_kernels();
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return kNotFound;
    params_of = reinterpret_cast<Params>(dlsym(library, "malle_host_params"));
    launch = reinterpret_cast<Launch>(dlsym(library, "malle_host_launch"));
    return params_of && launch ? kSuccess : kInvalidImage;
}

// PTX major versions are four below CUDA's since CUDA 11: 8.2 came with CUDA 12.2, 9.0 with 13.0.
static int check_ptx(const char* text) {
    int major = 0, minor = 0, arch = 0;
    const char* version = std::strstr(text, ".version");
    const char* target = std::strstr(text, ".target sm_");
    if (!version || !target || std::sscanf(version, ".version %d.%d", &major, &minor) != 2) return kInvalidPtx;
    std::sscanf(target, ".target sm_%d", &arch);
    if ((major + 4) * 1000 + minor * 10 > state().knobs["driver"]) return kUnsupportedPtxVersion;
    return arch > state().knobs["capability"] ? kNoBinaryForGpu : kSuccess;
}

// A cubin runs on its own major version, from its own minor version on. Where it is written moved in ABI version 8.
static int check_cubin(const unsigned char* elf) {
    uint32_t flags;
    std::memcpy(&flags, elf + 48, sizeof flags);
    const long long arch = elf[8] >= 8 ? (flags >> 8) & 0xFF : flags & 0xFF;
    const long long here = state().knobs["capability"];
    return arch / 10 == here / 10 && arch <= here ? kSuccess : kNoBinaryForGpu;
}

static int check_image(const void* image) {
    if (!image) return kInvalidValue;
    if (!std::memcmp(image, "\177ELF", 4)) return check_cubin(static_cast<const unsigned char*>(image));
    return std::strstr(static_cast<const char*>(image), ".version") ? check_ptx(static_cast<const char*>(image))
                                                                    : static_cast<int>(kInvalidImage);
}

using Values = std::vector<std::vector<unsigned char>>;

static bool any_stray(const Values& values) {
    for (const auto& value : values) {
        DevicePointer argument = 0;
        if (value.size() != sizeof argument) continue;
        std::memcpy(&argument, value.data(), sizeof argument);
        if (stray(argument)) return true;
    }
    return false;
}

static Work kernel(const std::string& name, std::vector<unsigned> shape, Values values) {
    return {name, [=]() mutable {
                // A GPU cannot read ordinary host memory; here it could, and the mistake would go unseen.
                if (any_stray(values)) return int(kIllegalAddress);
                std::vector<void*> pointers;
                for (auto& value : values) pointers.push_back(value.data());
                if (!launch) return int(kLaunchFailed);
                return launch(name.c_str(), &shape[0], &shape[3], pointers.data()) ? int(kLaunchFailed) : int(kSuccess);
            }};
}

}  // namespace fake

using namespace fake;

API cuModuleLoadData(Module** module, const void* image) {
    ENTER("cuModuleLoadData", kHealthy);
    if (int refused = unsafe_in_capture()) return refused;
    if (int code = check_image(image)) return code;
    *module = new Module;
    state().modules.insert(*module);
    return kSuccess;
}

API cuModuleLoadDataEx(Module** module, const void* image, unsigned, int*, void**) {
    return cuModuleLoadData(module, image);
}

API cuModuleUnload(Module* module) {
    ENTER("cuModuleUnload", kContext);
    if (!state().modules.erase(module)) return kInvalidHandle;
    for (std::string* name : module->names) {
        state().functions.erase(name);
        delete name;
    }
    delete module;
    return state().broken;
}

API cuModuleGetFunction(std::string** function, Module* module, const char* name) {
    ENTER("cuModuleGetFunction", kHealthy);
    if (!state().modules.count(module)) return kInvalidHandle;
    unsigned sizes[kMostParams];
    if (!params_of || params_of(name, sizes, kMostParams) < 0) return kNotFound;
    *function = new std::string(name);
    module->names.push_back(*function);
    state().functions.insert(*function);
    return kSuccess;
}

API cuFuncGetAttribute(int* value, int, std::string* function) {
    ENTER("cuFuncGetAttribute", kHealthy);
    if (!state().functions.count(function)) return kInvalidHandle;
    *value = 0;
    return kSuccess;
}

API cuFuncSetAttribute(std::string* function, int, int) {
    ENTER("cuFuncSetAttribute", kHealthy);
    return state().functions.count(function) ? kSuccess : kInvalidHandle;
}

API cuLaunchKernel(std::string* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned, Stream* stream, void** params, void** extra) {
    ENTER("cuLaunchKernel", kHealthy);
    if (!state().functions.count(function)) return kInvalidHandle;
    if (extra) return kNotSupported;
    const bool empty = !gx || !gy || !gz || !bx || !by || !bz;
    if (empty || gy > 65535 || gz > 65535 || bz > 64 || 1ull * bx * by * bz > 1024) return kInvalidValue;
    unsigned sizes[kMostParams];
    const int count = params_of(function->c_str(), sizes, kMostParams);
    if (count > 0 && !params) return kInvalidValue;
    Values values;  // copied now: the caller may reuse its memory as soon as this returns
    for (int i = 0; i < count; ++i) {
        const auto* bytes = static_cast<const unsigned char*>(params[i]);
        values.emplace_back(bytes, bytes + sizes[i]);
    }
    return put(stream, kernel(*function, {gx, gy, gz, bx, by, bz}, std::move(values)));
}
