#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"

namespace lacuna::cuda {

/// What the runtime says of the last launch, as a Status; its message is a static sentence of the runtime's.
inline Status launched() {
  cudaError_t const error = cudaGetLastError();
  if (error == cudaSuccess) return {};
  return {Errc::launch_failed, cudaGetErrorString(error), error, 0};
}

/// Kernels are empty below sm_80, which is what nvcc compiles for when it is told nothing.
template <class Kernel>
Status check_compiled(Kernel* kernel) {
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, kernel) != cudaSuccess) return launched();
  if (attributes.ptxVersion >= 80) return {};
  return {Errc::launch_failed, "cuda: compile with -arch=sm_80 or later, for Hopper with -arch=sm_90a",
          attributes.ptxVersion, 80};
}

/// Launches kernel(args...) on the caller's stream. More than 48 KB of shared memory are asked for where needed.
template <class... Parameters, class... Arguments>
Status launch(Cuda exec, dim3 grid, dim3 block, std::int64_t smem_bytes, void (*kernel)(Parameters...),
              Arguments const&... arguments) {
  if (Status s = check_compiled(kernel); !s) return s;
  if (smem_bytes > 48 * 1024) {
    cudaError_t const error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(smem_bytes));
    if (error != cudaSuccess) {
      (void)cudaGetLastError();
      return {Errc::launch_failed, cudaGetErrorString(error), error, smem_bytes};
    }
  }
  kernel<<<grid, block, static_cast<std::size_t>(smem_bytes), exec.stream>>>(arguments...);
  return launched();
}

}  // namespace lacuna::cuda
