#pragma once

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "lacuna/index/block_index.hpp"
#include "lacuna/kernels/pick_top.hpp"
#include "lacuna/units/unit.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/candidates.cuh"
#include "lacuna/kernels/pick_blocks.hpp"
#endif

namespace lacuna {

/// A block of Tokens queries by a block of Tokens keys. Each query block chooses among the key blocks up to its own;
/// one that may keep more than there are keeps them all.
template <int Tokens = 16>
struct Block {
  static_assert(Tokens >= 8 && Tokens <= 128 && std::has_single_bit(unsigned{Tokens}),
                "Block: a block must hold 8, 16, 32, 64 or 128 tokens");
  using Index = BlockIndex;
  static constexpr Moment moment = Moment::prefill;
  static constexpr int rows = 1;
  static constexpr std::int64_t rows_at_once = 24;  // pooled keys are read once for all of them
  static constexpr bool anchors_must_fit = false;

  std::int64_t count(std::int64_t tokens) const { return (tokens + Tokens - 1) / Tokens; }
  std::int64_t tokens(std::int64_t units) const { return units * Tokens; }
  std::int64_t candidates(std::int64_t len) const { return count(len); }

  /// Query blocks, where the first may begin before the first query.
  std::int64_t choices(Shape const& shape) const {
    return shape.len_q == 0 ? 0 : count(shape.len_k) - first_block(shape);
  }
  std::int64_t chunk_units(Shape const& shape, RowChunk const& chunk) const {
    return first_block(shape) + chunk.first_row + chunk.rows;
  }
  std::int64_t first_block(Shape const& shape) const { return (shape.len_k - shape.len_q) / Tokens; }

  Index make_index(Shape const& shape, std::int64_t heads, std::array<std::int64_t, 1> const& most,
                   Workspace& memory) const {
    std::int64_t const last = count(shape.len_k);
    // A shorter prompt may straddle one block more.
    std::int64_t const query_blocks = shape.len_q == 0 ? 0 : std::min((shape.len_q + Tokens - 2) / Tokens + 1, last);
    std::int64_t capacity = 0;
    for (std::int64_t m = last - query_blocks; m < last; ++m) capacity += std::min(most[0], m + 1);
    Index index;
    index.blocks = memory.take<std::int32_t, 2>({heads, capacity});
    index.counts = memory.take<std::int32_t, 2>({heads, query_blocks});
    index.offsets = memory.take<std::int64_t, 1>({query_blocks + 1});
    index.block_tokens = Tokens;
    index.room = most[0];
    return index;
  }

  template <Storage T>
  Status begin(Problem<T> const& problem, Index& index) const {
    if (index.block_tokens != Tokens)
      return Status::invalid("block: the index has another block size", index.block_tokens, Tokens);
    if (index.heads() != problem.heads_q() && index.heads() != problem.heads_kv())
      return Status::invalid("block: the index must have one row per query head or per KV head", index.heads(),
                             problem.heads_q());
    std::int64_t const len_k = longest_head(problem.kv);
    for (std::int64_t head = 0; head < problem.heads_kv(); ++head)
      if (problem.kv.length(head) != len_k)
        return Status::invalid("block: every KV head must hold the same tokens", problem.kv.length(head), len_k);
    index.len_q = problem.len_q();
    index.len_k = len_k;
    if (index.rows() > index.counts.extent(1))
      return Status::invalid("block: the index has no room for every query block; plan for this shape", index.rows(),
                             index.counts.extent(1));
    index.offsets(0) = 0;
    for (std::int64_t r = 0; r < index.rows(); ++r)
      index.offsets(r + 1) = index.offsets(r) + std::min(index.room, index.first_block() + r + 1);
    if (index.offsets(index.rows()) > index.blocks.extent(1))
      return Status::invalid("block: the index has no room for that many blocks; plan for this shape and budget",
                             index.offsets(index.rows()), index.blocks.extent(1));
    return {};
  }

  template <Storage T>
  void anchor(Problem<T> const& problem, std::int64_t sink_tokens, std::int64_t recent_tokens, RowChunk const& chunk,
              Scores scores) const {
    constexpr float kAlways = std::numeric_limits<float>::infinity();
    std::int64_t const first = first_block(shape_of(problem)) + chunk.first_row;
    for (std::int64_t r = 0; r < chunk.rows; ++r) {
      float* const row = &scores(0, r, 0);
      std::int64_t const causal = first + r + 1, oldest = oldest_block(problem, chunk.first_row + r);
      std::fill(row + oldest, row + std::clamp(count(sink_tokens), oldest, causal), kAlways);
      std::fill(row + std::max(causal - count(recent_tokens), oldest), row + causal, kAlways);
    }
  }

  /// -inf to the blocks that the window hides from every query of a row.
  template <Storage T>
  void hide(Problem<T> const& problem, RowChunk const& chunk, Scores scores) const {
    for (std::int64_t r = 0; r < chunk.rows; ++r)
      std::fill_n(&scores(0, r, 0), oldest_block(problem, chunk.first_row + r),
                  -std::numeric_limits<float>::infinity());
  }

  void reserve_pick(Cpu exec, Shape const& shape, Workspace& memory) const {
    reserve_pick_top(exec, candidates(shape.len_k), memory);
  }

  template <Storage T>
  Status pick(Problem<T> const&, RowChunk const& chunk, Scores scores, Counts counts, Workspace memory,
              Index& index) const {
    for (std::int64_t r = 0; r < chunk.rows; ++r) {
      std::int64_t const row = chunk.first_row + r, capacity = index.capacity(row);
      counts(0, r) = static_cast<std::int32_t>(std::min<std::int64_t>(counts(0, r), capacity));
      Status const s = pick_top(Cpu{}, {{&scores(0, r, 0), {1, index.first_block() + row + 1}, {0, 1}},
                                        {&counts(0, r), {1}, {1}},
                                        {},
                                        {index.row(chunk.head, row), {1, capacity}, {0, 1}},
                                        {&index.counts(chunk.head, row), {1}, {1}},
                                        memory});
      if (!s) return s;
    }
    return {};
  }

  template <Storage T>
  Status keep_all(Problem<T> const& problem, Index& index) const {
    if (Status s = begin(problem, index); !s) return s;
    for (std::int64_t r = 0; r < index.rows(); ++r) {
      std::int64_t const causal = index.first_block() + r + 1;
      if (index.capacity(r) < causal)
        return Status::invalid("block: the index has no room for every block", index.capacity(r), causal);
      for (std::int64_t head = 0; head < index.heads(); ++head) {
        std::iota(index.row(head, r), index.row(head, r) + causal, 0);
        index.counts(head, r) = static_cast<std::int32_t>(causal);
      }
    }
    return {};
  }

#if LACUNA_CUDA
  /// Rows of all sequences of a batch.
  std::int64_t choices(BatchShape const& shape) const {
    return BlockIndex::first_row(shape.batch, shape.tokens_q, Tokens);
  }
  Index make_index(BatchShape const& shape, std::int64_t heads, std::array<std::int64_t, 1> const& most,
                   Workspace& memory) const {
    std::int64_t const room = std::min(most[0], count(shape.each.len_k));
    Index index;
    index.blocks = memory.take<std::int32_t, 2>({heads, choices(shape) * room});
    index.counts = memory.take<std::int32_t, 2>({heads, choices(shape)});
    index.len_q = shape.each.len_q;
    index.len_k = shape.each.len_k;
    index.block_tokens = Tokens;
    index.room = room;
    return index;
  }
  template <Storage T>
  Status count_candidates(Cuda exec, BatchProblem<T> const& problem, Counts counts) const {
    return cuda::count_block_candidates(exec, problem, Tokens, counts);
  }
  template <Storage T>
  Status anchor(Cuda exec, BatchProblem<T> const& problem, std::int64_t sink_tokens, std::int64_t recent_tokens,
                BatchChunk const& chunk, Scores scores) const {
    return cuda::force_blocks(exec, problem, Tokens, count(sink_tokens), count(recent_tokens), chunk.first_row, scores);
  }
  template <Storage T>
  Status pick(Cuda exec, BatchProblem<T> const& problem, BatchChunk const& chunk, Scores scores, Counts counts,
              Index& index) const {
    if (index.block_tokens != Tokens)
      return Status::invalid("block: the index has another block size", index.block_tokens, Tokens);
    return pick_blocks(exec, PickBlocksBatchArgs<T>{problem, scores, counts, chunk.first_row, index});
  }
#endif

 private:
  /// The first block that a query of the row sees.
  template <Storage T>
  std::int64_t oldest_block(Problem<T> const& problem, std::int64_t row) const {
    Shape const shape = shape_of(problem);
    return problem.oldest_key(std::max((first_block(shape) + row) * Tokens, shape.len_k - shape.len_q)) / Tokens;
  }
};

}  // namespace lacuna
