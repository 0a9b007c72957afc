#pragma once

#include <algorithm>

#include "lacuna/kernels/attend_dense.hpp"
#include "lacuna/kernels/cpu/attend_parts.hpp"
#include "lacuna/kernels/cpu/attend_query_blocks.hpp"

namespace lacuna {
namespace cpu {

/// All heads of a group share each packed panel. 256 rows keep queries and sums of dim 128 in 256 KB of L2.
inline BlockShape dense_block(Shape const& shape) {
  return {shape.group(), std::clamp<std::int64_t>(256 / shape.group(), 16, 128)};
}

}  // namespace cpu

inline void reserve_attend_dense(Cpu exec, Shape const& shape, Workspace& memory) {
  Workspace parts = memory;
  (void)cpu::reserve_blocks(exec, shape, cpu::dense_block(shape), memory);
  cpu::reserve_parts(exec, shape, shape.group(), shape.len_k, parts);
  memory = cpu::larger(memory, parts);
}

template <Storage T>
Status attend_dense(Cpu exec, AttendDenseArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  Shape const shape = shape_of(args.problem);
  Workspace all = args.scratch;
  reserve_attend_dense(exec, shape, all);
  if (shape.len_q > 0)
    if (Status s = all.check("attend: the workspace is smaller than planned"); !s) return s;
  auto const length = [&](std::int64_t head) { return args.problem.kv.length(head / shape.group()); };
  if (shape.len_q > 0 && cpu::parts_of(shape, shape.group(), shape.len_k) > 1)
    return cpu::attend_parts(exec, args.problem, args.out, args.scratch, shape.group(), shape.len_k,
                             [&](std::int64_t head, std::int64_t part, std::int64_t, cpu::FlashBlock<T>& block) {
                               std::int64_t const begin = part * cpu::kPartKeys;
                               block.add_run(begin, std::min(begin + cpu::kPartKeys, length(head)));
                             });
  cpu::BlockShape const block_shape = cpu::dense_block(shape);
  std::int64_t const first_query = shape.len_k - shape.len_q;
  std::int64_t const pairs = shape.len_q * (first_query + shape.len_k) / 2;
  return cpu::attend_query_blocks(
      exec, args.problem, args.out, args.scratch, block_shape, pairs * shape.heads_q * shape.dim,
      [&](std::int64_t head, std::int64_t m, cpu::FlashBlock<T>& block) {
        block.add_run(0, std::min(cpu::round_up((m + 1) * block_shape.positions, cpu::kPanelKeys), length(head)));
      });
}

}  // namespace lacuna
