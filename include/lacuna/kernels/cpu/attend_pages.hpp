#pragma once

#include <algorithm>

#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/cpu/attend_parts.hpp"

namespace lacuna {

/// `rows` of the index: heads_kv, or heads_q.
inline void reserve_attend_pages(Cpu exec, Shape const& shape, std::int64_t rows, Workspace& memory) {
  Shape step = shape;
  step.len_q = std::min<std::int64_t>(shape.len_q, 1);
  (void)cpu::take_parts(exec, step, shape.heads_q / rows, shape.len_k, memory);
}

template <Storage T>
Status attend_pages(Cpu exec, AttendPagesArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  PageIndex const& index = args.index;
  Shape const shape = shape_of(args.problem);
  Workspace all = args.scratch;
  reserve_attend_pages(exec, shape, index.rows(), all);
  if (Status s = all.check("attend: the workspace is smaller than planned"); !s) return s;
  std::int64_t const heads_per_row = shape.heads_q / index.rows();
  std::int64_t const keys = std::min(index.pages.extent(1) * index.page_tokens, shape.len_k);
  auto const add_pages = [&](std::int64_t head, std::int64_t part, std::int64_t parts, cpu::FlashBlock<T>& block) {
    std::int64_t const row = head / heads_per_row, count = index.counts(row);
    std::int32_t const* const pages = index.pages.slice(row);
    for (std::int64_t i = count * part / parts; i < count * (part + 1) / parts; ++i) {
      std::int64_t const begin = pages[i] * index.page_tokens;
      block.add_run(begin, std::min<std::int64_t>(begin + index.page_tokens, index.lens(row)));
    }
  };
  return cpu::attend_parts(exec, args.problem, args.out, args.scratch, heads_per_row, keys, add_pages);
}

}  // namespace lacuna
