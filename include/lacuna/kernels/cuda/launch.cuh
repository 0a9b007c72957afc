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

/// More than 48 KB of shared memory must be asked for.
template <class Kernel>
Status allow_smem(Kernel* kernel, std::int64_t smem_bytes) {
  if (smem_bytes <= 48 * 1024) return {};
  cudaError_t const error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(smem_bytes));
  if (error == cudaSuccess) return {};
  (void)cudaGetLastError();
  return {Errc::launch_failed, cudaGetErrorString(error), error, smem_bytes};
}

/// Launches kernel(args...) on the caller's stream.
template <class... Parameters, class... Arguments>
Status launch(Cuda exec, dim3 grid, dim3 block, std::int64_t smem_bytes, void (*kernel)(Parameters...),
              Arguments const&... arguments) {
  if (Status s = check_compiled(kernel); !s) return s;
  if (Status s = allow_smem(kernel, smem_bytes); !s) return s;
  kernel<<<grid, block, static_cast<std::size_t>(smem_bytes), exec.stream>>>(arguments...);
  return launched();
}

/// The same for a kernel that begins with launch_after_earlier(): on sm_90 its blocks may take their places while the
/// launch before it is still ending, also in a captured graph.
template <class... Parameters, class... Arguments>
Status launch_overlapping(Cuda exec, dim3 grid, dim3 block, std::int64_t smem_bytes, void (*kernel)(Parameters...),
                          Arguments const&... arguments) {
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, kernel) != cudaSuccess) return launched();
  if (attributes.ptxVersion < 90) return launch(exec, grid, block, smem_bytes, kernel, arguments...);
  if (Status s = allow_smem(kernel, smem_bytes); !s) return s;
  // Several blocks of much shared memory: all of it. Others need the level-1 cache for their loads in flight, without
  // which bounds are scanned at 3.5 instead of 4.1 TB/s.
  if (smem_bytes > 48 * 1024)
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = static_cast<std::size_t>(smem_bytes);
  config.stream = exec.stream;
  config.attrs = &overlap;
  config.numAttrs = 1;
  (void)cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
  return launched();
}

}  // namespace lacuna::cuda
