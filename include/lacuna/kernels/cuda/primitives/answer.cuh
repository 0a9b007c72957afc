#pragma once

#include <cstdint>

#include "lacuna/core/problem.hpp"

namespace lacuna::cuda {

/// An AttentionOut as a kernel takes it.
template <class T>
struct DeviceAnswer {
  T* out;
  std::int64_t stride_token, stride_head;
  float* lse;  // may be null
  std::int64_t lse_stride_token, lse_stride_head;

  explicit DeviceAnswer(AttentionOut<T> const& a)
      : out(a.out.data),
        stride_token(a.out.stride(0)),
        stride_head(a.out.stride(1)),
        lse(a.lse.data),
        lse_stride_token(a.lse.stride(0)),
        lse_stride_head(a.lse.stride(1)) {}

  __device__ T* row(std::int32_t token, std::int32_t head) const {
    return out + token * stride_token + head * stride_head;
  }
  __device__ void set_lse(std::int32_t token, std::int32_t head, float natural) const {
    if (lse != nullptr) lse[token * lse_stride_token + head * lse_stride_head] = natural;
  }
};

}  // namespace lacuna::cuda
