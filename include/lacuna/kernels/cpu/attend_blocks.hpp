#pragma once

#include <algorithm>

#include "lacuna/kernels/attend_blocks.hpp"
#include "lacuna/kernels/cpu/attend_query_blocks.hpp"

namespace lacuna {

/// `heads` of the index: heads_q, or heads_kv.
inline void reserve_attend_blocks(Cpu exec, Shape const& shape, std::int64_t heads, std::int64_t block_tokens,
                                  Workspace& memory) {
  (void)cpu::reserve_blocks(exec, shape, {shape.heads_q / heads, block_tokens}, memory);
}

template <Storage T>
Status attend_blocks(Cpu exec, AttendBlocksArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  BlockIndex const& index = args.index;
  std::int64_t const heads_per_row = args.problem.heads_q() / index.heads();
  std::int64_t const work = args.problem.heads_q() * index.len_q * index.len_k * args.problem.dim() / 8;
  cpu::BlockShape shape{heads_per_row, index.block_tokens};
  shape.narrow = index.block_tokens < cpu::kPanelKeys;
  return cpu::attend_query_blocks(exec, args.problem, args.out, args.scratch, shape, work,
                                  [&](std::int64_t head, std::int64_t m, cpu::FlashBlock<T>& block) {
                                    std::int64_t const r = m - index.first_block();
                                    std::int32_t const* const kept = index.row(head / heads_per_row, r);
                                    for (std::int64_t i = 0; i < index.counts(head / heads_per_row, r); ++i) {
                                      std::int64_t const begin = kept[i] * index.block_tokens;
                                      block.add_run(begin, std::min(begin + index.block_tokens, index.len_k));
                                    }
                                  });
}

}  // namespace lacuna
