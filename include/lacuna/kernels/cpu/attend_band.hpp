#pragma once

#include <algorithm>

#include "lacuna/kernels/attend_band.hpp"
#include "lacuna/kernels/cpu/attend_query_blocks.hpp"

namespace lacuna {
namespace cpu {

/// A block of about 64 rows reads a panel more than its window; all heads of a group share what it reads.
inline BlockShape band_block(Shape const& shape) {
  return {shape.group(), std::max<std::int64_t>(kStrip / shape.group(), 1)};
}

}  // namespace cpu

inline void reserve_attend_band(Cpu exec, Shape const& shape, Workspace& memory) {
  (void)cpu::reserve_blocks(exec, shape, cpu::band_block(shape), memory);
}

template <Storage T>
Status attend_band(Cpu exec, AttendBandArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  BandIndex const& index = args.index;
  Problem<T> const& problem = args.problem;
  std::int64_t const reach = std::min(index.sink_tokens + index.window_tokens, index.len_k);
  cpu::BlockShape block_shape = cpu::band_block(shape_of(problem));
  block_shape.cut = index.len_k - index.dense_queries;
  return cpu::attend_query_blocks(exec, problem, args.out, args.scratch, block_shape,
                                  problem.heads_q() * problem.len_q() * reach * problem.dim(),
                                  [&](std::int64_t, std::int64_t, cpu::FlashBlock<T>& block) {
                                    std::int64_t const end = block.last_position() + 1;
                                    bool const all = block.first_position() >= block_shape.cut;
                                    std::int64_t const sinks = all ? end : std::min(index.sink_tokens, end);
                                    block.add_run(0, sinks);
                                    if (all) return;
                                    block.set_window(index.window_tokens);
                                    block.add_run(sinks, end);
                                  });
}

}  // namespace lacuna
