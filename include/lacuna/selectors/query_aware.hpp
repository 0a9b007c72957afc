#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "lacuna/selectors/mean_pool.hpp"
#include "lacuna/selectors/normalised.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/head_cut.cuh"
#endif

namespace lacuna {

/// Softmaxed pooled scores, where the (query block, key block) pairs of a head compete with each other: the best of
/// them that together hold at most a share of the head's mass keep their scores, the others get -inf. This is what
/// FlexPrefill (arXiv 2502.20766) does with the heads that it finds query-aware; whether to is the caller's decision.
/// Pairs that tie where the share ends are left out together. Meant for blocks of 128: scores are computed five times.
struct QueryAware {
  static constexpr bool measures_mass = true;

  Normalised<MeanPool> inner{};
  double share = 0.9;  // in [0, 1]

  template <int Tokens>
  Status check(Block<Tokens> const& unit, Shape const& shape, std::int64_t kept) const {
    if (!(share >= 0.0 && share <= 1.0))
      return Status::invalid("query_aware: share must be in [0, 1]; value and bound are in millionths",
                             std::isfinite(share) ? std::llround(share * 1e6) : 0, 1000000);
    return check_selector(inner, unit, shape, kept);
  }
  template <int Tokens>
  void reserve(Cpu exec, Block<Tokens> const& unit, Shape const& shape, Workspace& memory) const {
    take(exec, unit, shape, memory);
    reserve_scoring(exec, inner, unit, shape, memory);
  }

  template <int Tokens, Storage T>
  Status prepare(Cpu exec, Block<Tokens> const& unit, Problem<T> const& problem, Workspace memory) const {
    Shape const shape = shape_of(problem);
    Cuts const cuts = take(exec, unit, shape, memory);
    if (Status s = prepare_scoring(exec, inner, unit, problem, memory); !s) return s;
    std::int64_t const choices = unit.choices(shape);
    exec.each(shape.heads_q, [&](std::int64_t head, int worker) {
      float* const rows = cuts.rows + worker * Block<Tokens>::rows_at_once * unit.count(shape.len_k);
      auto const each_score = [&](auto const& f) {
        for (std::int64_t first = 0; first < choices; first += Block<Tokens>::rows_at_once) {
          // The chunks of the call itself, so that the same floats come out.
          RowChunk const chunk{head, first, std::min(choices - first, Block<Tokens>::rows_at_once), worker};
          std::int64_t const wide = unit.chunk_units(shape, chunk);
          Scores const scores = dense_view<float, 3>(rows, {1, chunk.rows, wide});
          (void)inner.score(exec, unit, problem, memory, chunk, scores);
          std::for_each_n(rows, chunk.rows * wide, f);
        }
      };
      // Sums of floats may exceed the share that is everything.
      cuts.of_heads[head] = share >= 1.0 ? -1.0F : cut(each_score, share * static_cast<double>(choices));
    });
    return {};
  }

  template <int Tokens, Storage T>
  Status score(Cpu exec, Block<Tokens> const& unit, Problem<T> const& problem, Workspace memory, RowChunk const& chunk,
               Scores scores) const {
    Cuts const cuts = take(exec, unit, shape_of(problem), memory);
    if (Status s = inner.score(exec, unit, problem, memory, chunk, scores); !s) return s;
    float const cut = cuts.of_heads[chunk.head];
    for (std::int64_t row = 0; row < chunk.rows; ++row)
      for (std::int64_t block = 0; block < scores.extent(2); ++block)
        if (float& s = scores(0, row, block); !(s > cut)) s = -std::numeric_limits<float>::infinity();
    return {};
  }

#if LACUNA_CUDA
  template <int Tokens>
  void reserve(Cuda exec, Block<Tokens> const& unit, BatchShape const& shape, std::int64_t rows,
               Workspace& memory) const {
    Judging const own(unit, shape, memory);
    reserve_scoring(exec, inner, unit, shape, std::max(rows, own.scores.extent(1)), memory);
  }
  template <int Tokens, Storage T>
  Status prepare(Cuda exec, Block<Tokens> const& unit, BatchProblem<T> const& problem, Workspace memory) const {
    Judging const own(unit, shape_of(problem), memory);
    if (Status s = memory.check("query_aware: the workspace is smaller than planned"); !s) return s;
    if (Status s = prepare_scoring(exec, inner, unit, problem, memory); !s) return s;
    if (Status s = unit.count_candidates(exec, problem, own.candidates); !s) return s;
    // Sums of rounded softmaxes may exceed the share that is everything.
    double const asked = share >= 1.0 ? 2.0 : share;
    return cuda::find_head_cuts(exec, problem, Tokens, asked, own.cuts, [&](auto const& f) {
      std::int64_t const rows = own.candidates.extent(1), together = own.scores.extent(1);
      for (std::int64_t first = 0; first < rows; first += together) {
        BatchChunk const chunk{first, std::min(together, rows - first)};
        Counts const candidates{own.candidates.data + first, {problem.heads_q(), chunk.rows}, own.candidates.strides};
        Scores scores = own.scores;
        scores.extents[1] = chunk.rows;
        if (Status s = inner.score(exec, unit, problem, memory, chunk, candidates, scores); !s) return s;
        if (Status s = f(first, scores); !s) return s;
      }
      return Status{};
    });
  }
  template <int Tokens, Storage T>
  Status score(Cuda exec, Block<Tokens> const& unit, BatchProblem<T> const& problem, Workspace memory,
               BatchChunk const& chunk, Counts candidates, Scores scores) const {
    Judging const own(unit, shape_of(problem), memory);
    if (Status s = inner.score(exec, unit, problem, memory, chunk, candidates, scores); !s) return s;
    return cuda::apply_head_cuts(exec, problem, Tokens, own.cuts, chunk.first_row, scores);
  }
#endif

 private:
#if LACUNA_CUDA
  /// What a call on the device keeps: the cuts, and one chunk of scores of its own.
  struct Judging {
    cuda::HeadCuts cuts;
    Counts candidates;  // [heads_q, rows]
    Scores scores;      // [heads_q, rows of a chunk, blocks]

    template <int Tokens>
    Judging(Block<Tokens> const& unit, BatchShape const& shape, Workspace& memory)
        : cuts(shape.batch * shape.each.heads_q, memory) {
      constexpr std::int64_t kScores = std::int64_t{16} << 20;
      std::int64_t const heads = shape.each.heads_q, rows = unit.choices(shape);
      std::int64_t const wide = (unit.count(shape.each.len_k) + 3) / 4 * 4;
      std::int64_t const together = std::max<std::int64_t>(kScores / std::max<std::int64_t>(heads * wide, 1), 16);
      candidates = memory.take<std::int32_t, 2>({heads, rows});
      scores = memory.take<float, 3>({heads, std::min(together, std::max<std::int64_t>(rows, 1)), wide});
    }
  };
#endif

  struct Cuts {
    float* of_heads;  // [heads_q], the highest score that is left out
    float* rows;      // per worker
  };

  template <int Tokens>
  static Cuts take(Cpu exec, Block<Tokens> const& unit, Shape const& shape, Workspace& memory) {
    return {memory.take<float>(shape.heads_q),
            memory.take<float>(exec.workers * Block<Tokens>::rows_at_once * unit.count(shape.len_k))};
  }

  /// The score of the first pair that does not fit, a byte of its pattern at a time: patterns of positive floats rank
  /// as their values do.
  template <class Each>
  static float cut(Each const& each_score, double wanted) {
    double held = 0.0;
    std::uint32_t prefix = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
      std::array<double, 256> mass{};
      each_score([&](float score) {
        auto const bits = std::bit_cast<std::uint32_t>(score);
        if (score > 0.0F && (shift == 24 || bits >> (shift + 8) == prefix)) mass[bits >> shift & 0xFFU] += score;
      });
      std::uint32_t at = 255;
      while (at > 0 && held + mass[at] <= wanted) held += mass[at--];
      if (at == 0 && held + mass[0] <= wanted) return -1.0F;  // everything fits
      prefix = prefix << 8 | at;
    }
    return std::bit_cast<float>(prefix);
  }
};

}  // namespace lacuna
