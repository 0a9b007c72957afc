#pragma once

#include <algorithm>

#include "lacuna/kernels/attend_dense.hpp"
#include "lacuna/kernels/attend_tokens.hpp"
#include "lacuna/kernels/cpu/attend_parts.hpp"
#include "lacuna/kernels/cpu/attend_query_blocks.hpp"

namespace lacuna {

inline void reserve_attend_tokens(Cpu exec, Shape const& shape, Workspace& memory) {
  reserve_attend_dense(exec, shape, memory);
}

template <Storage T>
Status attend_tokens(Cpu exec, AttendTokensArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  Shape const shape = shape_of(args.problem);
  TokenIndex const& index = args.index;
  Workspace all = args.scratch;
  reserve_attend_tokens(exec, shape, all);
  if (shape.len_q == 0) return {};
  if (Status s = all.check("attend: the workspace is smaller than planned"); !s) return s;
  std::int64_t const keys = std::min(index.tokens.extent(1), shape.len_k);
  auto const add_tokens = [&](std::int64_t head, std::int64_t part, std::int64_t parts, std::int64_t end,
                              cpu::FlashBlock<T>& block) {
    std::int64_t const row = head / shape.group(), count = index.counts(row);
    std::int32_t const* const tokens = index.tokens.slice(row);
    for (std::int64_t i = count * part / parts; i < count * (part + 1) / parts && tokens[i] < end; ++i)
      block.add_run(tokens[i], std::int64_t{tokens[i]} + 1);
  };
  if (cpu::parts_of(shape, shape.group(), keys) > 1)
    return cpu::attend_parts(exec, args.problem, args.out, args.scratch, shape.group(), keys,
                             [&](std::int64_t head, std::int64_t part, std::int64_t parts, cpu::FlashBlock<T>& block) {
                               add_tokens(head, part, parts, shape.len_k, block);
                             });
  cpu::BlockShape const block_shape = cpu::dense_block(shape);
  return cpu::attend_query_blocks(exec, args.problem, args.out, args.scratch, block_shape,
                                  shape.heads_q * shape.len_q * keys * shape.dim,
                                  [&](std::int64_t head, std::int64_t m, cpu::FlashBlock<T>& block) {
                                    add_tokens(head, 0, 1, (m + 1) * block_shape.positions, block);
                                  });
}

}  // namespace lacuna
