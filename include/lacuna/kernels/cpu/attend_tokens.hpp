#pragma once

#include "lacuna/kernels/attend_dense.hpp"
#include "lacuna/kernels/attend_tokens.hpp"
#include "lacuna/kernels/cpu/flash_block.hpp"

namespace lacuna {

inline void reserve_attend_tokens(Cpu exec, Shape const& shape, Workspace& memory) {
  cpu::reserve_blocks(exec, shape, cpu::dense_block(shape), memory);
}

template <Storage T>
Status attend_tokens(Cpu exec, AttendTokensArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  Shape const shape = shape_of(args.problem);
  TokenIndex const& index = args.index;
  cpu::BlockShape const block_shape = cpu::dense_block(shape);
  std::int64_t const work = shape.heads_q * shape.len_q * index.tokens.extent(1) * shape.dim;
  return cpu::attend_blocks(exec, args.problem, args.out, args.scratch, block_shape, work,
                            [&](std::int64_t head, std::int64_t m, cpu::FlashBlock<T>& block) {
                              std::int64_t const row = head / shape.group();
                              std::int32_t const* const tokens = index.tokens.slice(row);
                              for (std::int64_t i = 0; i < index.counts(row); ++i) {
                                if (tokens[i] >= (m + 1) * block_shape.positions) break;
                                block.add_run(tokens[i], std::int64_t{tokens[i]} + 1);
                              }
                            });
}

}  // namespace lacuna
