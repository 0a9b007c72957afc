#pragma once

#include <algorithm>

#include "lacuna/kernels/attend_vertical_slash.hpp"
#include "lacuna/kernels/cpu/attend_query_blocks.hpp"

namespace lacuna {

/// `heads` of the index: heads_q, or heads_kv.
inline void reserve_attend_vertical_slash(Cpu exec, Shape const& shape, std::int64_t heads, std::int64_t tile,
                                          Workspace& memory) {
  (void)cpu::reserve_blocks(exec, shape, {shape.heads_q / heads, tile}, memory);
}

template <Storage T>
Status attend_vertical_slash(Cpu exec, AttendVerticalSlashArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  VerticalSlashIndex const& index = args.index;
  std::int64_t const heads_per_row = args.problem.heads_q() / index.heads();
  std::int64_t const work = args.problem.heads_q() * index.len_q * index.len_k * args.problem.dim() / 8;
  return cpu::attend_query_blocks(
      exec, args.problem, args.out, args.scratch, {heads_per_row, index.tile}, work,
      [&](std::int64_t head, std::int64_t m, cpu::FlashBlock<T>& block) {
        row_block_runs(
            index, head / heads_per_row, m,
            [&](std::int64_t begin, std::int64_t end) { block.add_run(begin, std::min(end, index.len_k)); },
            [&](std::int64_t key) { block.add_run(key, key + 1); });
      });
}

}  // namespace lacuna
