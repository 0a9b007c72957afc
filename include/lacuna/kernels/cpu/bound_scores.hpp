#pragma once

#include <algorithm>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/kernels/cpu/micro_kernels.hpp"

namespace lacuna {

/// Per worker: one query, and the positive and the negative part of the row's queries.
inline float* reserve_bound_scores(Cpu exec, Shape const& shape, Workspace& memory) {
  return memory.take<float>(3 * cpu::padded(shape.dim) * exec.workers);
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
  std::int64_t const floats = cpu::padded(kv.dim);
  std::int64_t const whole = kv.dim / simd::kLanes * simd::kLanes;
  exec.for_work(rows * args.scores.extent(1) * 2 * kv.dim).each(rows, [&](std::int64_t row, int worker) {
    float* const query = scratch + 3 * floats * worker;
    float* const positive = query + floats;
    float* const negative = positive + floats;
    std::fill_n(positive, 2 * floats, 0.0F);
    for (std::int64_t head = row * heads_per_row; head < (row + 1) * heads_per_row; ++head) {
      cpu::widen_row(&problem.q(0, head, 0), kv.dim, query);
      for (std::int64_t x = 0; x < floats; ++x) (query[x] < 0.0F ? negative : positive)[x] += query[x];
    }
    std::int64_t const head_kv = row * heads_per_row / problem.group();
    // The bound is linear in the two parts, so a group is scored at the price of one head.
    for (std::int64_t page = 0; page < (kv.length(head_kv) - 1) / kv.bounds_page_tokens; ++page) {
      T const* const low = &kv.bounds(head_kv, page, 0, 0);
      T const* const high = &kv.bounds(head_kv, page, 1, 0);
      simd::Vec bound{};
      for (std::int64_t x = 0; x < whole; x += simd::kLanes)
        bound += simd::load(positive + x) * simd::load(high + x) + simd::load(negative + x) * simd::load(low + x);
      if (whole < kv.dim)
        bound += simd::load(positive + whole) * simd::load_first(high + whole, kv.dim - whole) +
                 simd::load(negative + whole) * simd::load_first(low + whole, kv.dim - whole);
      args.scores(row, page) = simd::sum(bound);
    }
  });
  return {};
}

}  // namespace lacuna
