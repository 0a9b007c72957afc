#pragma once

#include <cstdint>

#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

using Scores = TensorView<float, 3>;         // [heads, rows, units]; bigger means keep me; each row is one choice
using Counts = TensorView<std::int32_t, 2>;  // [heads, rows]; units that row may keep

/// The same row of every head. // [heads, units]
constexpr TensorView<float, 2> row_of_heads(Scores const& scores, std::int64_t row) {
  return {
      scores.data + row * scores.stride(1), {scores.extent(0), scores.extent(2)}, {scores.stride(0), scores.stride(2)}};
}

}  // namespace lacuna
