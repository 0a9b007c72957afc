#pragma once

#include <algorithm>

#include "lacuna/kernels/attend_band.hpp"
#include "lacuna/kernels/cpu/flash_block.hpp"

namespace lacuna {

/// A block is one position and the heads of a group: each position has a window of its own, so that no element needs a
/// mask. Neighbouring positions find their keys in cache.
inline void reserve_attend_band(Cpu exec, Shape const& shape, Workspace& memory) {
  cpu::reserve_blocks(exec, shape, {shape.group(), 1}, memory);
}

template <Storage T>
Status attend_band(Cpu exec, AttendBandArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  BandIndex const& index = args.index;
  Problem<T> const& problem = args.problem;
  std::int64_t const reach = std::min(index.sink_tokens + index.window_tokens, index.len_k);
  return cpu::attend_blocks(exec, problem, args.out, args.scratch, {problem.group(), 1},
                            problem.heads_q() * problem.len_q() * reach * problem.dim(),
                            [&](std::int64_t, std::int64_t position, cpu::FlashBlock<T>& block) {
                              block.add_run(0, index.sink_end(position));
                              block.add_run(index.window_begin(position), position + 1);
                            });
}

}  // namespace lacuna
