#pragma once

#include <cstdint>

#include "lacuna/core/tensor_view.hpp"
#include "lacuna/kernels/cuda/launch.cuh"

namespace lacuna::cuda {

/// Calls body(i) for every i in [0, items) that the grid's thread is given.
template <class Body>
__global__ void __launch_bounds__(256) each_kernel(__grid_constant__ Body const body, std::int64_t items) {
  std::int64_t const item = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (item < items) body(item);
}

template <class Body>
Status launch_each(Cuda exec, std::int64_t items, Body const& body) {
  if (items == 0) return {};
  return launch(exec, {static_cast<unsigned>((items + 255) / 256), 1, 1}, 256, 0, each_kernel<Body>, body, items);
}

/// Where a device body finds an entry of a view.
template <class X, int Rank>
struct Entries {
  X* data;
  std::int64_t strides[Rank];

  explicit Entries(TensorView<X, Rank> const& view) : data(view.data) {
    for (int axis = 0; axis < Rank; ++axis) strides[axis] = view.stride(axis);
  }
  __device__ X& operator()(std::int64_t a, std::int64_t b) const { return data[a * strides[0] + b * strides[1]]; }
  __device__ X& operator()(std::int64_t a, std::int64_t b, std::int64_t c) const {
    return data[a * strides[0] + b * strides[1] + c * strides[2]];
  }
};

}  // namespace lacuna::cuda
