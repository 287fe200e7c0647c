// Devices, contexts, errors, and the look-up of entry points that newer bindings begin with.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "driver.hpp"

using namespace fake;

static bool exists(int device) { return device >= 0 && device < state().knobs["devices"]; }

API cuInit(unsigned) {
    ENTER("cuInit", kNothing);
    if (!state().knobs["devices"]) return kNoDevice;
    state().initialized = true;
    return kSuccess;
}

API cuDriverGetVersion(int* version) {
    ENTER("cuDriverGetVersion", kNothing);
    *version = static_cast<int>(state().knobs["driver"]);
    return kSuccess;
}

API cuGetErrorName(int code, const char** text) {
    *text = error_name(code);
    return *text ? kSuccess : kInvalidValue;
}

API cuGetErrorString(int code, const char** text) {
    *text = error_text(code);
    return *text ? kSuccess : kInvalidValue;
}

API cuDeviceGetCount(int* count) {
    ENTER("cuDeviceGetCount", kDriver);
    *count = static_cast<int>(state().knobs["devices"]);
    return kSuccess;
}

API cuDeviceGet(int* device, int ordinal) {
    ENTER("cuDeviceGet", kDriver);
    if (!exists(ordinal)) return kInvalidDevice;
    *device = ordinal;
    return kSuccess;
}

API cuDeviceGetName(char* name, int most, int device) {
    ENTER("cuDeviceGetName", kDriver);
    if (!exists(device)) return kInvalidDevice;
    std::snprintf(name, static_cast<size_t>(most), "Host implementation of CUDA %d", device);
    return kSuccess;
}

API cuDeviceTotalMem_v2(size_t* bytes, int device) {
    ENTER("cuDeviceTotalMem", kDriver);
    if (!exists(device)) return kInvalidDevice;
    *bytes = static_cast<size_t>(state().knobs["memory"]);
    return kSuccess;
}

API cuDeviceComputeCapability(int* major, int* minor, int device) {
    ENTER("cuDeviceComputeCapability", kDriver);
    if (!exists(device)) return kInvalidDevice;
    *major = static_cast<int>(state().knobs["capability"] / 10);
    *minor = static_cast<int>(state().knobs["capability"] % 10);
    return kSuccess;
}

API cuDeviceGetAttribute(int* value, int attribute, int device) {
    ENTER("cuDeviceGetAttribute", kDriver);
    if (!exists(device)) return kInvalidDevice;
    const long long capability = state().knobs["capability"];
    switch (attribute) {
        case 1: *value = 1024; break;                                   // threads of a block
        case 10: *value = 32; break;                                    // warp
        case 16: *value = 4; break;                                     // multiprocessors
        case 75: *value = static_cast<int>(capability / 10); break;
        case 76: *value = static_cast<int>(capability % 10); break;
        default: *value = 0;
    }
    return kSuccess;
}

static int device_of(const char* context) { return static_cast<int>(context - primary); }
static bool known(const char* context) { return context >= primary && context < primary + sizeof primary; }
static bool alive(const char* context) { return known(context) && state().retained[device_of(context)] > 0; }

API cuDevicePrimaryCtxRetain(char** context, int device) {
    ENTER("cuDevicePrimaryCtxRetain", kDriver);
    if (!exists(device)) return kInvalidDevice;
    ++state().retained[device];
    *context = primary + device;
    return kSuccess;
}

API cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER("cuDevicePrimaryCtxRelease", kDriver);
    if (!exists(device) || !state().retained[device]) return kInvalidContext;
    // CUDA would free here what is left. We let it stand, so that the count of live objects shows the leak.
    if (!--state().retained[device]) state().broken = kSuccess;
    return kSuccess;
}

API cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
    ENTER("cuDevicePrimaryCtxGetState", kDriver);
    if (!exists(device)) return kInvalidDevice;
    *flags = state().context_flags[device];
    *active = state().retained[device] > 0;
    return kSuccess;
}

API cuDevicePrimaryCtxSetFlags_v2(int device, unsigned flags) {
    ENTER("cuDevicePrimaryCtxSetFlags", kDriver);
    if (!exists(device)) return kInvalidDevice;
    state().context_flags[device] = flags;
    return kSuccess;
}

API cuCtxPushCurrent_v2(char* context) {
    ENTER("cuCtxPushCurrent", kDriver);
    if (!alive(context)) return kInvalidContext;
    context_stack().push_back(context);
    return kSuccess;
}

API cuCtxPopCurrent_v2(char** context) {
    ENTER("cuCtxPopCurrent", kContext);
    if (context) *context = context_stack().back();
    context_stack().pop_back();
    return kSuccess;
}

API cuCtxSetCurrent(char* context) {
    ENTER("cuCtxSetCurrent", kDriver);
    if (context && !alive(context)) return kInvalidContext;
    if (!context_stack().empty()) context_stack().pop_back();
    if (context) context_stack().push_back(context);
    return kSuccess;
}

API cuCtxGetCurrent(char** context) {
    ENTER("cuCtxGetCurrent", kDriver);
    *context = context_stack().empty() ? nullptr : context_stack().back();
    return kSuccess;
}

API cuCtxGetDevice(int* device) {
    ENTER("cuCtxGetDevice", kContext);
    *device = device_of(context_stack().back());
    return kSuccess;
}

API cuCtxGetApiVersion(char*, unsigned* version) {
    ENTER("cuCtxGetApiVersion", kContext);
    *version = 3020;
    return kSuccess;
}

// Names whose newest version is not found by adding a suffix.
static const char* newest(const char* symbol) {
    if (!std::strcmp(symbol, "cuGraphInstantiate")) return "cuGraphInstantiateWithFlags";
    if (!std::strcmp(symbol, "cuGetProcAddress")) return "cuGetProcAddress_v2";
    return symbol;
}

API cuGetProcAddress_v2(const char* symbol, void** address, int, unsigned long long, int* status) {
    static void* self = [] {
        Dl_info info;
        dladdr(reinterpret_cast<void*>(&cuInit), &info);
        return dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    }();
    *address = nullptr;
    for (const char* suffix : {"", "_v2"}) {
        const std::string name = std::string(newest(symbol)) + suffix;
        if ((*address = dlsym(self, name.c_str()))) break;
    }
    if (status) *status = *address ? 0 : 1;  // CU_GET_PROC_ADDRESS_SUCCESS, _SYMBOL_NOT_FOUND
    return *address ? kSuccess : kNotFound;
}

API cuGetProcAddress(const char* symbol, void** address, int version, unsigned long long flags) {
    return cuGetProcAddress_v2(symbol, address, version, flags, nullptr);
}

API cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return kNotFound;
}
