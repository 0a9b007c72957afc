#pragma once

// LACUNA_CUDA: nvcc compiles this translation unit, so the CUDA twins are there.
// LACUNA_HD: callable on the host and on the device, without a flag to nvcc.
#if defined(__CUDACC__)
#define LACUNA_CUDA 1
#define LACUNA_HD __host__ __device__
#else
#define LACUNA_CUDA 0
#define LACUNA_HD
#endif
