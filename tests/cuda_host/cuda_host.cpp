// The kernels as a shared library of two functions, compiled from the same .cu files as for a GPU.
#include <csetjmp>
#include <cstring>
#include <iterator>
#include <utility>

#include "looks.cu"
#include "malle_slice.cu"
#include "motion.cu"
#include "planes.cu"

thread_local uint3 threadIdx, blockIdx, blockDim;

namespace {

thread_local std::jmp_buf misaligned;

template <auto Function>
struct Of;

template <typename... Params, void (*Function)(Params...)>
struct Of<Function> {
    static int params(unsigned sizes[], int most) {
        const unsigned all[] = {sizeof(Params)...};
        if (static_cast<int>(sizeof...(Params)) > most) return -1;
        std::copy(std::begin(all), std::end(all), sizes);
        return sizeof...(Params);
    }
    static void run(void** params) { run(params, std::index_sequence_for<Params...>()); }

   private:
    template <std::size_t... Index>
    static void run(void** params, std::index_sequence<Index...>) {
        Function(*static_cast<Params*>(params[Index])...);
    }
};

struct Kernel {
    const char* name;
    int (*params)(unsigned sizes[], int most);
    void (*run)(void** params);
};

#define KERNEL(name) {#name, Of<name>::params, Of<name>::run}
#define KERNELS(before, after) KERNEL(before##f16##after), KERNEL(before##f32##after)
const Kernel kKernels[] = {
    KERNELS(malle_slice_, _k1),    KERNELS(malle_slice_, _k3),    KERNELS(malle_slice_, _k5),
    KERNELS(malle_slice_, _k5_s4), KERNELS(malle_slice_, _k3_s2), KERNELS(malle_slice_, _k5_s2),
    KERNELS(malle_slice_, _k3_s1), KERNELS(malle_slice_, _k3_s4),
    KERNELS(malle_pack_u8_, ),     KERNELS(malle_pack_u16_, ),    KERNELS(malle_unpack_u8_, ),
    KERNELS(malle_unpack_u16_, ),
    KERNELS(malle_motion_levels_, ), KERNELS(malle_move_, ),
    KERNEL(malle_block_sums_u8),   KERNEL(malle_block_sums_u16),  KERNEL(malle_parts_u8),
    KERNEL(malle_parts_u16),
    KERNEL(malle_motion_coarse),   KERNEL(malle_motion_l2),       KERNEL(malle_motion_l1),
    KERNEL(malle_motion_l0),       KERNEL(malle_motion_choose),   KERNEL(malle_motion_measure),
    KERNEL(malle_motion_part),
};

const Kernel* find(const char* name) {
    for (const Kernel& kernel : kKernels) {
        if (!std::strcmp(kernel.name, name)) return &kernel;
    }
    return nullptr;
}

// Calls body with every index below end.
template <typename Body>
void each(uint3 end, uint3& index, Body body) {
    for (index.z = 0; index.z < end.z; ++index.z) {
        for (index.y = 0; index.y < end.y; ++index.y) {
            for (index.x = 0; index.x < end.x; ++index.x) body();
        }
    }
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// The compiler calls it before an access at an address that the type does not allow; a GPU would stop there too.
extern "C" [[noreturn]] void __ubsan_handle_type_mismatch_v1_abort(void*, void*) { std::longjmp(misaligned, 1); }

// Number of a kernel's parameters; their sizes in bytes go to `sizes`. -1: no such kernel, or more than `most`.
EXPORT int malle_host_params(const char* name, unsigned sizes[], int most) {
    const Kernel* kernel = find(name);
    return kernel ? kernel->params(sizes, most) : -1;
}

// 0 when it ran; 1: no such kernel; 2: more threads in a block than it was compiled for; 3: a misaligned address.
EXPORT int malle_host_launch(const char* name, const unsigned grid[3], const unsigned block[3], void** params) {
    const Kernel* kernel = find(name);
    if (!kernel) return 1;
    if (block[0] * block[1] * block[2] > malle::kThreads) return 2;
    if (setjmp(misaligned)) return 3;
    blockDim = {block[0], block[1], block[2]};
    each({grid[0], grid[1], grid[2]}, blockIdx, [&] { each(blockDim, threadIdx, [&] { kernel->run(params); }); });
    return 0;
}
