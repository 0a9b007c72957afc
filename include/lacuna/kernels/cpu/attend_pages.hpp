#pragma once

#include <algorithm>

#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/cpu/flash_block.hpp"

namespace lacuna {

/// `rows` of the index: heads_kv, or heads_q.
inline void reserve_attend_pages(Cpu exec, Shape const& shape, std::int64_t rows, Workspace& memory) {
  cpu::reserve_blocks(exec, shape, {shape.heads_q / rows, 1}, memory);
}

template <Storage T>
Status attend_pages(Cpu exec, AttendPagesArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  PageIndex const& index = args.index;
  std::int64_t const heads_per_row = args.problem.heads_q() / index.rows();
  std::int64_t const work = args.problem.heads_q() * index.pages.extent(1) * index.page_tokens * args.problem.dim();
  return cpu::attend_blocks(exec, args.problem, args.out, args.scratch, {heads_per_row, 1}, work,
                            [&](std::int64_t head, std::int64_t, cpu::FlashBlock<T>& block) {
                              std::int64_t const row = head / heads_per_row;
                              std::int32_t const* const pages = index.pages.slice(row);
                              for (std::int64_t i = 0; i < index.counts(row); ++i) {
                                std::int64_t const begin = pages[i] * index.page_tokens;
                                block.add_run(begin,
                                              std::min<std::int64_t>(begin + index.page_tokens, index.lens(row)));
                              }
                            });
}

}  // namespace lacuna
