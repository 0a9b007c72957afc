#pragma once

#include <cmath>
#include <cstdint>

#include "lacuna/index/scores.hpp"
#include "lacuna/index/vertical_slash_index.hpp"
#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/each.cuh"
#include "lacuna/kernels/cuda/launch.cuh"

namespace lacuna::cuda {

// The small steps of a selection: what there is to choose among, what is chosen whatever its score, and how many.

struct BlockCandidates {
  BlockRows rows;
  Entries<std::int32_t, 2> counts;
  std::int64_t slots;

  __device__ void operator()(std::int64_t item) const {
    BlockRows::Row const row = rows.find(static_cast<std::int32_t>(item % slots));
    counts(item / slots, item % slots) = row.there ? row.candidates() : 0;
  }
};

/// The candidates of every row of blocks, the key blocks up to its own; 0 for rows that are not there. // [heads, rows]
template <Storage T>
Status count_block_candidates(Cuda exec, BatchProblem<T> const& problem, std::int64_t block_tokens, Counts counts) {
  return launch_each(
      exec, counts.count(),
      BlockCandidates{BlockRows(problem, block_tokens), Entries<std::int32_t, 2>(counts), counts.extent(1)});
}

struct TokenCandidates {
  std::int32_t const* lens;
  std::int64_t lens_stride_sequence, lens_stride_head, heads, heads_kv, kinds;
  Entries<std::int32_t, 2> counts;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const choice = item / kinds, sequence = choice / heads, head = choice % heads * heads_kv / heads;
    counts(choice, item % kinds) = lens[sequence * lens_stride_sequence + head * lens_stride_head];
  }
};

/// Tokens of each sequence, the candidates of a choice among tokens, columns or diagonals. // [batch * heads, kinds]
template <Storage T>
Status count_token_candidates(Cuda exec, BatchProblem<T> const& problem, Counts counts) {
  if (problem.batch == 0) return {};
  return launch_each(exec, counts.count(),
                     TokenCandidates{problem.kv.lens.data, problem.kv.lens.stride(0), problem.kv.lens.stride(1),
                                     counts.extent(0) / problem.batch, problem.heads_kv(), counts.extent(1),
                                     Entries<std::int32_t, 2>(counts)});
}

struct ForceBlocks {
  BlockRows rows;
  std::int32_t first_row, sink_blocks, recent_blocks;
  Entries<float, 3> scores;
  std::int64_t slots, forced;  // per row: the sinks, then the recent ones

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const slot = item / forced % slots, head = item / forced / slots, i = item % forced;
    BlockRows::Row const row = rows.find(first_row + static_cast<std::int32_t>(slot));
    std::int64_t const block = i < sink_blocks ? i : row.candidates() - 1 - (i - sink_blocks);
    if (row.there && block >= row.oldest && block < row.candidates()) scores(head, slot, block) = INFINITY;
  }
};

/// +inf to the first and to the last blocks that the rows from first_row on see. // [heads, rows of the chunk, units]
template <Storage T>
Status force_blocks(Cuda exec, BatchProblem<T> const& problem, std::int64_t block_tokens, std::int64_t sink_blocks,
                    std::int64_t recent_blocks, std::int64_t first_row, Scores scores) {
  std::int64_t const most = scores.extent(2);
  auto const sinks = static_cast<std::int32_t>(sink_blocks < most ? sink_blocks : most);
  auto const recent = static_cast<std::int32_t>(recent_blocks < most ? recent_blocks : most);
  std::int64_t const forced = std::int64_t{sinks} + recent;
  return launch_each(exec, scores.extent(0) * scores.extent(1) * forced,
                     ForceBlocks{BlockRows(problem, block_tokens), static_cast<std::int32_t>(first_row), sinks, recent,
                                 Entries<float, 3>(scores), scores.extent(1), forced});
}

struct ForceFirst {
  Entries<float, 3> scores;
  std::int64_t kinds, most, first[2];

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const kind = item / most % kinds;
    if (item % most < first[kind]) scores(item / most / kinds, kind, item % most) = INFINITY;
  }
};

/// +inf to the first `columns` units of each choice's first kind and to `diagonals` of its second.
inline Status force_first(Cuda exec, std::int64_t columns, std::int64_t diagonals, Scores scores) {
  std::int64_t const wide = scores.extent(2), asked = columns > diagonals ? columns : diagonals;
  std::int64_t const most = asked < wide ? asked : wide;
  return launch_each(exec, scores.extent(0) * scores.extent(1) * most,
                     ForceFirst{Entries<float, 3>(scores), scores.extent(1), most, {columns, diagonals}});
}

/// A limit of its own for each kind of choice.
struct FixedLimit {
  std::int64_t units[2];
  __device__ std::int64_t operator()(std::int64_t, std::int64_t kind) const { return units[kind]; }
};

/// A share of the candidates' tokens, in whole units and at least one.
struct ShareLimit {
  double share;
  std::int64_t unit_tokens;
  __device__ std::int64_t operator()(std::int64_t candidates, std::int64_t) const {
    auto const tokens = static_cast<std::int64_t>(floor(share * static_cast<double>(candidates * unit_tokens) + 1e-9));
    return max((tokens + unit_tokens - 1) / unit_tokens, std::int64_t{1});
  }
};

/// Tokens that grow as a power of the candidates' tokens.
struct PowerLimit {
  std::int64_t tokens, reference_tokens, unit_tokens;
  double exponent;
  __device__ std::int64_t operator()(std::int64_t candidates, std::int64_t) const {
    double const growth =
        pow(static_cast<double>(candidates * unit_tokens) / static_cast<double>(reference_tokens), exponent);
    auto const grown = static_cast<std::int64_t>(ceil(static_cast<double>(tokens) * growth - 1e-6));
    return (max(grown, std::int64_t{1}) + unit_tokens - 1) / unit_tokens;
  }
};

template <class Limit>
struct LimitCounts {
  Limit limit;
  Entries<std::int32_t, 2> counts;
  std::int64_t columns;
  bool kinds;  // columns of counts are kinds of choices, else rows

  __device__ void operator()(std::int64_t item) const {
    std::int32_t& count = counts(item / columns, item % columns);
    std::int64_t const most = limit(count, kinds ? item % columns : 0);
    if (count > most) count = static_cast<std::int32_t>(most);
  }
};

/// counts = min(counts, limit of their candidates, which they hold at first).
template <class Limit>
Status limit_counts(Cuda exec, Counts counts, bool kinds, Limit const& limit) {
  return launch_each(exec, counts.count(),
                     LimitCounts<Limit>{limit, Entries<std::int32_t, 2>(counts), counts.extent(1), kinds});
}

/// Some heads' own limits, small enough to travel as an argument.
struct LimitPairs {
  static constexpr std::int64_t kMost = 256;
  std::int32_t limits[kMost][2];
  std::int64_t first_head, here, heads;
  Entries<std::int32_t, 2> counts;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const kind = item % 2, head = item / 2 % here;
    std::int32_t& count = counts(item / 2 / here * heads + first_head + head, kind);
    count = min(count, limits[head][kind]);
  }
};

/// counts(sequence * heads + head, kind) = min(of it, limits(head, kind)); limits are read by the host.
inline Status limit_pairs(Cuda exec, TensorView<std::int32_t const, 2> const& limits, Counts counts) {
  std::int64_t const heads = limits.extent(0);
  for (std::int64_t first = 0; first < heads; first += LimitPairs::kMost) {
    std::int64_t const here = heads - first < LimitPairs::kMost ? heads - first : LimitPairs::kMost;
    LimitPairs body{{}, first, here, heads, Entries<std::int32_t, 2>(counts)};
    for (std::int64_t head = 0; head < here; ++head)
      for (int kind : {0, 1}) body.limits[head][kind] = limits(first + head, kind);
    if (Status s = launch_each(exec, counts.extent(0) / heads * here * 2, body); !s) return s;
  }
  return {};
}

struct MeanOfGroup {
  Entries<float, 3> of_heads, mean;
  Entries<std::int32_t, 2> candidates;
  std::int64_t rows, units, group;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const unit = item % units, row = item / units % rows, head = item / units / rows;
    if (unit >= candidates(head, row)) return;
    float sum = of_heads(head * group, row, unit);
    for (std::int64_t i = 1; i < group; ++i) sum += of_heads(head * group + i, row, unit);
    mean(head, row, unit) = sum / static_cast<float>(group);
  }
};

/// Neighbouring heads become one: the mean of their scores. // [heads * group, rows, units] -> [heads, rows, units]
inline Status mean_of_group(Cuda exec, Scores of_heads, Counts candidates, Scores mean) {
  if (mean.count() == 0) return {};
  return launch_each(
      exec, mean.count(),
      MeanOfGroup{Entries<float, 3>(of_heads), Entries<float, 3>(mean), Entries<std::int32_t, 2>(candidates),
                  mean.extent(1), mean.extent(2), of_heads.extent(0) / mean.extent(0)});
}

struct CoverShort {
  std::int32_t const* lens;
  std::int64_t lens_stride_sequence, heads, columns_wide;
  Entries<std::int32_t, 2> columns, diagonals, kept, wanted;
  std::int32_t tile;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const choice = item / columns_wide, key = item % columns_wide;
    std::int32_t const len = lens[choice / heads * lens_stride_sequence];
    if (len >= tile && wanted(choice, 0) < len && wanted(choice, 1) < len) return;
    if (key < len) columns(choice, key) = static_cast<std::int32_t>(key);
    if (key > 0) return;
    kept(choice, 0) = len;
    kept(choice, 1) = len > 0 ? 1 : 0;
    if (len > 0) diagonals(choice, 0) = 0;
  }
};

/// Sequences shorter than a tile, and budgets that cover the sequence: every column, and the main diagonal.
template <Storage T>
Status cover_short(Cuda exec, BatchProblem<T> const& problem, Counts wanted, VerticalSlashIndex const& index) {
  if (problem.batch == 0) return {};
  std::int64_t const wide = index.columns.extent(1);
  return launch_each(exec, index.heads() * wide,
                     CoverShort{problem.kv.lens.data, problem.kv.lens.stride(0), index.heads() / problem.batch, wide,
                                Entries<std::int32_t, 2>(index.columns), Entries<std::int32_t, 2>(index.diagonals),
                                Entries<std::int32_t, 2>(index.counts), Entries<std::int32_t, 2>(wanted),
                                static_cast<std::int32_t>(index.tile)});
}

}  // namespace lacuna::cuda
