#pragma once

#include <cstdint>

#include "lacuna/core/status.hpp"

namespace lacuna::detail {

/// Unit ids must be ascending, unique and in [0, end).
inline Status check_ascending(std::int32_t const* ids, std::int64_t count, std::int64_t end, char const* sentence) {
  std::int64_t previous = -1;
  for (std::int64_t i = 0; i < count; ++i) {
    if (ids[i] <= previous || ids[i] >= end) return Status::invalid(sentence, ids[i], end);
    previous = ids[i];
  }
  return {};
}

}  // namespace lacuna::detail
