// What FFmpeg (in PyAV) looks for before it uses any of it. Most it never calls where only addresses of pictures pass
// through it.
#include "driver.hpp"

#define UNSUPPORTED(name) \
    API name() { return fake::kNotSupported; }

UNSUPPORTED(cuCtxDestroy_v2) UNSUPPORTED(cuMemcpy) UNSUPPORTED(cuMemcpyAsync) UNSUPPORTED(cuDevicePrimaryCtxReset)
UNSUPPORTED(cuStreamAddCallback)
UNSUPPORTED(cuLinkCreate) UNSUPPORTED(cuLinkAddData) UNSUPPORTED(cuModuleGetGlobal) UNSUPPORTED(cuTexObjectCreate)
UNSUPPORTED(cuTexObjectDestroy) UNSUPPORTED(cuGLGetDevices_v2) UNSUPPORTED(cuGraphicsGLRegisterImage)
UNSUPPORTED(cuGraphicsUnregisterResource) UNSUPPORTED(cuGraphicsMapResources) UNSUPPORTED(cuGraphicsUnmapResources)
UNSUPPORTED(cuGraphicsSubResourceGetMappedArray) UNSUPPORTED(cuGraphicsResourceGetMappedPointer_v2)

API cuDevicePrimaryCtxRelease_v2(int device);
API cuDevicePrimaryCtxSetFlags_v2(int device, unsigned flags);
API cuDevicePrimaryCtxRelease(int device) { return cuDevicePrimaryCtxRelease_v2(device); }
API cuDevicePrimaryCtxSetFlags(int device, unsigned flags) { return cuDevicePrimaryCtxSetFlags_v2(device, flags); }
