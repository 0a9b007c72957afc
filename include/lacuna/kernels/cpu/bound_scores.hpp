#pragma once

#include <algorithm>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/kernels/cpu/flash_kernels.hpp"

namespace lacuna {
namespace cpu {

/// Minima and maxima of the pages of one KV head.
template <Storage T>
struct BoundsOfHead {
  T const* data;
  std::int64_t pages, dim;
  std::int64_t stride_page, stride_high;  // elements from page to page, and from minimum to maximum
};

template <Storage T>
struct BoundKernels {
  void (*score)(BoundsOfHead<T> const&, float const* positive, float const* negative, float* scores,
                std::int64_t stride);
};

}  // namespace cpu
}  // namespace lacuna

#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/bound_scores.inl"
#include "lacuna/kernels/cpu/each_target.inl"

namespace lacuna {

/// Per worker: the positive and the negative part of the row's queries.
inline float* reserve_bound_scores(Cpu exec, Shape const& shape, Workspace& memory) {
  return memory.take<float>(2 * cpu::row_floats(shape.dim) * exec.workers);
}

template <Storage T>
Status bound_scores(Cpu exec, BoundScoresArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  Problem<T> const& problem = args.problem;
  KvView<T> const& kv = problem.kv;
  Workspace memory = args.scratch;
  float* const scratch = reserve_bound_scores(exec, shape_of(problem), memory);
  if (Status s = memory.check("bound_scores: the workspace is smaller than planned"); !s) return s;
  std::int64_t const rows = args.scores.extent(0);
  std::int64_t const heads_per_row = problem.heads_q() / rows;
  std::int64_t const floats = cpu::row_floats(kv.dim);
  cpu::BoundKernels<T> const& kernels = LACUNA_FOR_TARGET(bound_kernels<T>);
  exec.for_work(rows * args.scores.extent(1) * 2 * kv.dim).each(rows, [&](std::int64_t row, int worker) {
    float* const positive = scratch + 2 * floats * worker;
    float* const negative = positive + floats;
    std::fill_n(positive, 2 * floats, 0.0F);
    for (std::int64_t head = row * heads_per_row; head < (row + 1) * heads_per_row; ++head)
      for (std::int64_t x = 0; x < kv.dim; ++x) {
        float const q = to_float(problem.q(0, head, x));
        (q < 0.0F ? negative : positive)[x] += q;
      }
    std::int64_t const head_kv = row * heads_per_row / problem.group();
    // The bound is linear in the two parts, so a group is scored at the price of one head.
    std::int64_t const position = kv.length(head_kv) - 1, pages = position / kv.bounds_page_tokens;
    std::int64_t const first = std::min(problem.oldest_key(position) / kv.bounds_page_tokens, pages);
    for (std::int64_t page = 0; page < first; ++page) args.scores(row, page) = -cpu::kInfinity;
    kernels.score({&kv.bounds(head_kv, first, 0, 0), pages - first, kv.dim, kv.bounds.stride(1), kv.bounds.stride(2)},
                  positive, negative, args.scores.slice(row) + first * args.scores.stride(1), args.scores.stride(1));
  });
  return {};
}

}  // namespace lacuna
