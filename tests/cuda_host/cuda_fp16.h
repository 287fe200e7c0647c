// Stands in for CUDA's header of this name when g++ compiles the kernels.
#include "cuda_host.hpp"
