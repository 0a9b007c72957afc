#pragma once

#include <algorithm>

#include "lacuna/kernels/attend_dense.hpp"
#include "lacuna/kernels/cpu/flash_block.hpp"

namespace lacuna {
namespace cpu {

/// All heads of a group share each packed panel. 256 rows keep queries and sums of dim 128 in 256 KB of L2.
inline BlockShape dense_block(Shape const& shape) {
  return {shape.group(), std::clamp<std::int64_t>(256 / shape.group(), 16, 128)};
}

}  // namespace cpu

inline void reserve_attend_dense(Cpu exec, Shape const& shape, Workspace& memory) {
  cpu::reserve_blocks(exec, shape, cpu::dense_block(shape), memory);
}

template <Storage T>
Status attend_dense(Cpu exec, AttendDenseArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  Shape const shape = shape_of(args.problem);
  cpu::BlockShape const block_shape = cpu::dense_block(shape);
  std::int64_t const first_query = shape.len_k - shape.len_q;
  std::int64_t const pairs = shape.len_q * (first_query + shape.len_k) / 2;
  return cpu::attend_blocks(exec, args.problem, args.out, args.scratch, block_shape, pairs * shape.heads_q * shape.dim,
                            [&](std::int64_t head, std::int64_t m, cpu::FlashBlock<T>& block) {
                              std::int64_t const len = args.problem.kv.length(head / shape.group());
                              block.add_run(0, std::min((m + 1) * block_shape.positions, len));
                            });
}

}  // namespace lacuna
