#pragma once

#include <cstddef>

#include "lacuna/core/shape.hpp"

namespace lacuna {

/// What a method needs from its caller, for every problem up to the planned shape. Both buffers start at a multiple of
/// Workspace::kAlignment. The index outlives the call that made it; the workspace is free again when a call returns.
struct Plan {
  std::size_t index_bytes = 0;
  std::size_t workspace_bytes = 0;
  friend constexpr bool operator==(Plan const&, Plan const&) = default;
};

}  // namespace lacuna
