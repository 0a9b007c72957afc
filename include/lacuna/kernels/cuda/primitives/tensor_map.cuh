#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <type_traits>

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/status.hpp"

namespace lacuna::cuda {

/// What the copy engine needs to know of a tensor: up to five axes, the first dense. A box of it lands in shared memory
/// in lines of 64 elements, swizzled as wgmma reads them. Strides need not ascend and may overlap.
struct BoxedTensor {
  void const* data = nullptr;
  int rank = 0;
  std::array<cuuint64_t, 5> extents{};
  std::array<cuuint64_t, 4> stride_bytes{};        // of the axes from the second on; multiples of 16
  std::array<cuuint32_t, 5> box{};                 // at most 256 each, the first 64
  std::array<cuuint32_t, 5> every{1, 1, 1, 1, 1};  // a box keeps only every so many elements of an axis
  CUtensorMapL2promotion promotion = CU_TENSOR_MAP_L2_PROMOTION_L2_256B;
};

/// The driver's encoder without linking against the driver. Looked up for each launch: nothing is cached here.
inline Status encode_tensor_map(CUtensorMap& map, CUtensorMapDataType type, BoxedTensor const& tensor) {
  using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, cuuint64_t const*,
                              cuuint64_t const*, cuuint32_t const*, cuuint32_t const*, CUtensorMapInterleave,
                              CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  cudaError_t const error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found);
#else
  cudaError_t const error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &entry, cudaEnableDefault, &found);
#endif
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) {
    (void)cudaGetLastError();
    return {Errc::launch_failed, "tensor_map: the driver has no cuTensorMapEncodeTiled", error, 0};
  }
  CUresult const result = reinterpret_cast<Encode>(entry)(
      &map, type, static_cast<cuuint32_t>(tensor.rank), const_cast<void*>(tensor.data), tensor.extents.data(),
      tensor.stride_bytes.data(), tensor.box.data(), tensor.every.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
      CU_TENSOR_MAP_SWIZZLE_128B, tensor.promotion, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    return {Errc::launch_failed, "tensor_map: the driver refused the tensor", static_cast<std::int64_t>(result), 0};
  return {};
}

template <class T>
constexpr CUtensorMapDataType tensor_map_type() {
  return std::is_same_v<T, bfloat16> ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
}

}  // namespace lacuna::cuda
