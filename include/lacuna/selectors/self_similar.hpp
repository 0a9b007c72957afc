#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lacuna/kernels/pool_blocks.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/block.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/mean_cosine.cuh"
#endif

namespace lacuna {

/// Wraps a selector of blocks that goes by their means and measures mass (SpargeAttn, arXiv 2502.18137): a mean says
/// little of a block whose rows point in different directions. Such blocks of keys are always kept, and such blocks of
/// queries keep all that they see: their scores are +inf, and the mass is shared out among the other blocks.
template <class S>
struct SelfSimilar {
  static constexpr bool measures_mass = kMeasuresMass<S>;

  S inner{};
  /// The least mean cosine of all pairs of a block's rows, a row with itself included, that lets its mean speak for it.
  float threshold = 0.6F;

  template <int Tokens>
  void reserve(Cpu exec, Block<Tokens> const& unit, Shape const& shape, Workspace& memory) const {
    std::int64_t const blocks = unit.count(shape.len_k);
    // A shorter prompt may straddle one query block more.
    take(std::min((shape.len_q + Tokens - 2) / Tokens + 1, blocks), blocks, exec, shape, memory);
    reserve_scoring(exec, inner, unit, shape, memory);
  }

  template <int Tokens, Storage T>
  Status prepare(Cpu exec, Block<Tokens> const& unit, Problem<T> const& problem, Workspace memory) const {
    Shape const shape = shape_of(problem);
    Similar const similar = take(unit.choices(shape), unit.count(shape.len_k), exec, shape, memory);
    if (Status s = memory.check("self_similar: the workspace is smaller than planned"); !s) return s;
    std::int64_t const first_query = shape.len_k - shape.len_q, rows = similar.queries.extent(1);
    Cpu const crew = exec.for_work((shape.heads_q * shape.len_q + shape.heads_kv * shape.len_k) * shape.dim);
    crew.each(shape.heads_kv * similar.keys.extent(1), [&](std::int64_t item, int worker) {
      std::int64_t const head = item / similar.keys.extent(1), block = item % similar.keys.extent(1);
      similar.keys(head, block) = mean_cosine(
          block * Tokens, std::min((block + 1) * Tokens, shape.len_k), shape.dim,
          [&](std::int64_t at) { return problem.kv.k + problem.kv.offset(head, at); },
          similar.sums + worker * shape.dim);
    });
    crew.each(shape.heads_q * rows, [&](std::int64_t item, int worker) {
      std::int64_t const head = item / rows, row = item % rows, block = unit.first_block(shape) + row;
      similar.queries(head, row) = mean_cosine(
          std::max(block * Tokens, first_query), std::min((block + 1) * Tokens, shape.len_k), shape.dim,
          [&](std::int64_t at) { return &problem.q(at - first_query, head, 0); }, similar.sums + worker * shape.dim);
    });
    return prepare_scoring(exec, inner, unit, problem, memory);
  }

  template <int Tokens, Storage T>
  Status score(Cpu exec, Block<Tokens> const& unit, Problem<T> const& problem, Workspace memory, RowChunk const& chunk,
               Scores scores) const requires(StreamedSelectorFor<S, Block<Tokens>>&& kMeasuresMass<S>) {
    constexpr float kNone = -std::numeric_limits<float>::infinity(), kAlways = -kNone;
    Shape const shape = shape_of(problem);
    Similar const similar = take(unit.choices(shape), unit.count(shape.len_k), exec, shape, memory);
    if (Status s = inner.score(exec, unit, problem, memory, chunk, scores); !s) return s;
    std::int64_t const heads_per_choice = shape.heads_q / heads_of(inner, unit, shape);
    std::int64_t const head_q = chunk.head * heads_per_choice;
    float const* const keys = similar.keys.slice(head_q / shape.group());
    for (std::int64_t row = 0; row < chunk.rows; ++row) {
      bool all = false;
      for (std::int64_t head = head_q; head < head_q + heads_per_choice; ++head)
        all = all || !(similar.queries(head, chunk.first_row + row) >= threshold);
      double left = 0.0;
      for (std::int64_t block = 0; block < scores.extent(2); ++block) {
        float& score = scores(0, row, block);
        if (score == kNone) continue;
        if (all || !(keys[block] >= threshold))
          score = kAlways;
        else if (score > 0.0F)
          left += static_cast<double>(score);
      }
      for (std::int64_t block = 0; left > 0.0 && block < scores.extent(2); ++block)
        scores(0, row, block) = static_cast<float>(static_cast<double>(scores(0, row, block)) / left);
    }
    return {};
  }

#if LACUNA_CUDA
  template <int Tokens>
  void reserve(Cuda exec, Block<Tokens> const& unit, BatchShape const& shape, std::int64_t rows,
               Workspace& memory) const {
    (void)take(unit, shape, memory);
    reserve_scoring(exec, inner, unit, shape, rows, memory);
  }
  template <int Tokens, Storage T>
  Status prepare(Cuda exec, Block<Tokens> const& unit, BatchProblem<T> const& problem, Workspace memory) const {
    Similar const similar = take(unit, shape_of(problem), memory);
    if (Status s = memory.check("self_similar: the workspace is smaller than planned"); !s) return s;
    if (Status s = cuda::mean_cosines(exec, problem, Tokens, similar.queries, similar.keys); !s) return s;
    return prepare_scoring(exec, inner, unit, problem, memory);
  }
  template <int Tokens, Storage T>
  Status score(Cuda exec, Block<Tokens> const& unit, BatchProblem<T> const& problem, Workspace memory,
               BatchChunk const& chunk, Counts candidates, Scores scores) const
      requires(StreamedSelectorFor<S, Block<Tokens>>&& kMeasuresMass<S>) {
    Similar const similar = take(unit, shape_of(problem), memory);
    if (Status s = inner.score(exec, unit, problem, memory, chunk, candidates, scores); !s) return s;
    return cuda::keep_unlike(exec, problem, Tokens, threshold, similar.queries, similar.keys, chunk.first_row, scores);
  }
#endif

 private:
  struct Similar {
    TensorView<float, 2> queries;  // [heads_q, query blocks]
    TensorView<float, 2> keys;     // [heads_kv, key blocks]
    float* sums;                   // [workers, dim]
  };

#if LACUNA_CUDA
  template <int Tokens>
  static Similar take(Block<Tokens> const& unit, BatchShape const& shape, Workspace& memory) {
    Shape const& each = shape.each;
    return {memory.take<float, 2>({each.heads_q, unit.choices(shape)}),
            memory.take<float, 2>({shape.batch * each.heads_kv, unit.count(each.len_k)}), nullptr};
  }
#endif
  static Similar take(std::int64_t query_blocks, std::int64_t key_blocks, Cpu exec, Shape const& shape,
                      Workspace& memory) {
    return {memory.take<float, 2>({shape.heads_q, query_blocks}), memory.take<float, 2>({shape.heads_kv, key_blocks}),
            memory.take<float>(exec.workers * shape.dim)};
  }

  /// The squared length of the mean of the rows' directions; a row of zeros has none.
  template <class Row>
  static float mean_cosine(std::int64_t begin, std::int64_t end, std::int64_t dim, Row const& row, float* sums) {
    std::fill_n(sums, dim, 0.0F);
    for (std::int64_t at = begin; at < end; ++at) {
      auto const* const values = row(at);
      float squares = 0.0F;
      for (std::int64_t x = 0; x < dim; ++x) squares += to_float(values[x]) * to_float(values[x]);
      if (squares == 0.0F) continue;
      float const inverse = 1.0F / std::sqrt(squares);
      for (std::int64_t x = 0; x < dim; ++x) sums[x] += to_float(values[x]) * inverse;
    }
    float squares = 0.0F;
    for (std::int64_t x = 0; x < dim; ++x) squares += sums[x] * sums[x];
    auto const count = static_cast<float>(end - begin);
    return squares / (count * count);
  }
};

}  // namespace lacuna
