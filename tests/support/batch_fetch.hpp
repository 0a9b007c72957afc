#pragma once

#include <type_traits>
#include <vector>

#include "lacuna/core/tensor_view.hpp"
#include "support/device.hpp"

namespace support {

/// What a dense view of device memory leads to; nothing without one.
template <class X, int Rank>
std::vector<std::remove_const_t<X>> fetched(lacuna::TensorView<X, Rank> const& view) {
  std::vector<std::remove_const_t<X>> values(view.data == nullptr ? 0 : static_cast<std::size_t>(view.count()));
  cuda_check(cudaDeviceSynchronize());
  cuda_check(cudaMemcpy(values.data(), view.data, values.size() * sizeof(X), cudaMemcpyDeviceToHost));
  return values;
}

}  // namespace support
