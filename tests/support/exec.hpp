#pragma once

#include <cstdint>

#include "lacuna/core/exec.hpp"

namespace support {

/// Runs the items backwards on one thread, passing them round among `workers`: what depends on the order of the items,
/// or on which worker takes one, comes out different here.
inline lacuna::Cpu backwards(int workers) {
  static int worker_counts[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  lacuna::Cpu exec;
  exec.pool = &worker_counts[workers];
  exec.workers = workers;
  exec.parallel_for = [](void* pool, std::int64_t items, void* context, lacuna::Cpu::Body body) {
    int const count = *static_cast<int*>(pool);
    for (std::int64_t item = items - 1; item >= 0; --item)
      body(context, item, static_cast<int>((items - item) % count));
  };
  return exec;
}

}  // namespace support
