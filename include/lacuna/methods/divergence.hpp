#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lacuna/kernels/window_scores.hpp"
#include "lacuna/selectors/normalised.hpp"

namespace lacuna {

/// FlexPrefill's question to each query head (arXiv 2502.20766): do pooled keys tell what its last queries attend to?
/// Two distributions over the blocks of keys are compared: the true attention of the last block of queries, and the
/// softmax of their mean against the mean key of each block. Where the square root of the Jensen-Shannon divergence,
/// natural logarithms, is below the threshold, the second method takes the head. A NaN is never below.
struct Divergence {
  double threshold = 0.1;
  std::int64_t block_tokens = 128;

  std::int64_t parts(Shape const& shape) const { return shape.heads_q; }
  Status check(Shape const&) const {
    if (!(threshold >= 0.0)) return Status::invalid("divergence: threshold must not be negative");
    if (block_tokens < 1) return Status::invalid("divergence: block_tokens must be at least 1", block_tokens, 1);
    return {};
  }
  void reserve(Cpu exec, Shape const& shape, Workspace& memory) const {
    (void)take(exec, shape, memory);
    reserve_window_scores(exec, shape, block_tokens, memory);
  }

  template <Storage T>
  Status choose(Cpu exec, Problem<T> const& problem, Workspace memory,
                TensorView<std::uint8_t, 1> const& takes_second) const {
    Shape const shape = shape_of(problem);
    if (shape.len_q == 0) return std::fill_n(takes_second.data, takes_second.extent(0), std::uint8_t{0}), Status{};
    Memory const own = take(exec, shape, memory);
    if (Status s = memory.check("divergence: the workspace is smaller than planned"); !s) return s;
    if (Status s = window_scores<T>(exec, {problem, block_tokens, own.observed, {}, memory}); !s) return s;
    exec.for_work(shape.heads_q * shape.len_k * shape.dim).each(shape.heads_q, [&](std::int64_t head, int worker) {
      float* const query = own.rows + worker * row_floats(shape);
      takes_second(head) = root_divergence(problem, head, own.observed.slice(head), query) < threshold ? 1 : 0;
    });
    return {};
  }

 private:
  struct Memory {
    TensorView<float, 2> observed;  // [heads_q, len_k]
    float* rows;                    // per worker: a mean query, and a score for each block
  };
  std::int64_t blocks(Shape const& shape) const { return (shape.len_k + block_tokens - 1) / block_tokens; }
  std::int64_t row_floats(Shape const& shape) const { return shape.dim + blocks(shape); }
  Memory take(Cpu exec, Shape const& shape, Workspace& memory) const {
    return {memory.take<float, 2>({shape.heads_q, shape.len_k}), memory.take<float>(exec.workers * row_floats(shape))};
  }

  template <Storage T>
  double root_divergence(Problem<T> const& problem, std::int64_t head, float const* observed, float* query) const {
    KvView<T> const& kv = problem.kv;
    std::int64_t const head_kv = head / problem.group(), dim = kv.dim, len = kv.length(head_kv);
    std::int64_t const window = std::min(block_tokens, problem.len_q()),
                       count = (len + block_tokens - 1) / block_tokens;
    float* const pooled = query + dim;
    std::fill_n(query, dim, 0.0F);
    for (std::int64_t row = problem.len_q() - window; row < problem.len_q(); ++row)
      for (std::int64_t x = 0; x < dim; ++x) query[x] += to_float(problem.q(row, head, x)) / static_cast<float>(window);
    std::int64_t const oldest = problem.oldest_key(len - window) / block_tokens;
    std::fill_n(pooled, oldest, -std::numeric_limits<float>::infinity());
    for (std::int64_t block = oldest; block < count; ++block) {
      std::int64_t const end = std::min((block + 1) * block_tokens, len);
      double product = 0.0;
      for (std::int64_t token = block * block_tokens; token < end; ++token) {
        T const* const key = kv.k + kv.offset(head_kv, token);
        for (std::int64_t x = 0; x < dim; ++x) product += static_cast<double>(query[x] * to_float(key[x]));
      }
      pooled[block] = static_cast<float>(product / static_cast<double>(end - block * block_tokens));
    }
    detail::soften_row(problem, pooled, count);
    double total = 0.0, sum = 0.0;  // sinks take a part of what was observed
    for (std::int64_t token = 0; token < len; ++token) total += static_cast<double>(observed[token]);
    auto const part = [](double share, double mean) { return share > 0.0 ? share * std::log(share / mean) : 0.0; };
    for (std::int64_t block = 0; block < count; ++block) {
      double seen = 0.0;
      for (std::int64_t token = block * block_tokens; token < std::min((block + 1) * block_tokens, len); ++token)
        seen += static_cast<double>(observed[token]);
      double const p = std::max(static_cast<double>(pooled[block]), 0.0), q = seen / total, mean = 0.5 * (p + q);
      sum += std::isnan(q) ? q : 0.5 * (part(p, mean) + part(q, mean));
    }
    return sum < 0.0 ? 0.0 : std::sqrt(sum);  // rounding
  }
};

}  // namespace lacuna
