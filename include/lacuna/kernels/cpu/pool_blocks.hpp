#pragma once

#include <algorithm>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/kernels/cpu/flash_kernels.hpp"
#include "lacuna/kernels/pool_blocks.hpp"

namespace lacuna {

template <Storage T>
Status pool_blocks(Cpu exec, PoolBlocksArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  Problem<T> const& problem = args.problem;
  std::int64_t const len = longest_head(problem.kv), first_query = len - problem.len_q();
  std::int64_t const blocks = (len + args.block_tokens - 1) / args.block_tokens;
  std::int64_t const first_block = first_query / args.block_tokens;
  // Positions of a block that the problem has, summed in order, whoever sums them.
  auto const pool = [&](std::int64_t block, std::int64_t begin, std::int64_t columns, auto const& row, float* sums) {
    T const* rows[cpu::kPanelKeys];
    std::fill_n(sums, columns, 0.0F);
    std::int64_t const end = std::min((block + 1) * args.block_tokens, len);
    for (std::int64_t at = std::max(block * args.block_tokens, begin), count = 0; at < end; at += count) {
      count = std::min(cpu::kPanelKeys, end - at);
      for (std::int64_t i = 0; i < count; ++i) rows[i] = row(at + i);
      LACUNA_FOR_TARGET(add_rows<T>)(rows, count, problem.dim(), sums);
    }
    for (std::int64_t x = 0; x < problem.dim(); ++x) sums[x] /= static_cast<float>(args.block_tokens);
  };
  Cpu const crew = exec.for_work((problem.heads_q() * problem.len_q() + problem.heads_kv() * len) * problem.dim());
  crew.each(problem.heads_kv() * blocks, [&](std::int64_t item, int) {
    std::int64_t const head = item / blocks, block = item % blocks;
    auto const key = [&](std::int64_t at) { return problem.kv.k + problem.kv.offset(head, at); };
    pool(block, 0, args.keys.extent(2), key, &args.keys(head, block, 0));
  });
  std::int64_t const rows = problem.len_q() == 0 ? 0 : blocks - first_block;
  crew.each(problem.heads_q() * rows, [&](std::int64_t item, int) {
    std::int64_t const head = item / rows, row = item % rows;
    auto const query = [&](std::int64_t at) { return &problem.q(at - first_query, head, 0); };
    pool(first_block + row, first_query, args.queries.extent(2), query, &args.queries(head, row, 0));
  });
  return {};
}

}  // namespace lacuna
