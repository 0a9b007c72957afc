#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

/// Tokens that a warp reads at once, and the unit in which the work of a launch is counted.
inline constexpr int kChunkTokens = 16;
/// Queries times heads that share keys and one product.
inline constexpr int kTileRows = 16;

/// One row of work: up to 16 pairs of query and head that read the same tokens of one KV head.
struct PageRow {
  std::int32_t sequence, head, head_kv;  // head: of the index; its first query head is head * group
  std::int32_t first_query, queries;     // the sequence's queries begin here in q
  std::int32_t first_pair, pairs;        // of queries * group, the heads of a query first
  std::int32_t len_k;                    // tokens held
  std::int32_t oldest;                   // no query sees a token before it
  std::int32_t start;                    // without a list: the first token read, a multiple of kChunkTokens
  std::int32_t tokens;                   // listed or seen, those behind the length included
  std::int32_t chunks;
};

/// What every row of a launch reads: listed units of its head, or without a list every token that it sees.
template <class T>
struct PageRows {
  DeviceProblem<T> problem;
  std::int32_t const* units;  // [batch * heads, room], or null
  std::int32_t const* counts;
  std::int64_t room, counts_stride;
  std::int32_t unit_tokens;
  std::int32_t heads;  // of the index, per sequence
  std::int32_t group;  // query heads of one of them
  std::int32_t tiles;  // rows of work per head: of 16 pairs each, as many as max_len_q asks for

  __device__ int count() const { return problem.batch * heads * tiles; }
  __device__ std::int32_t const* list(PageRow const& row) const {
    return units == nullptr ? nullptr : units + (std::int64_t{row.sequence} * heads + row.head) * room;
  }

  __device__ PageRow at(int index) const {
    PageRow row{};
    auto const rest = static_cast<unsigned>(index) / static_cast<unsigned>(tiles);
    int const tile = index - static_cast<int>(rest) * tiles;
    row.sequence = static_cast<int>(rest / static_cast<unsigned>(heads));
    row.head = static_cast<int>(rest) - row.sequence * heads;
    row.head_kv = heads == problem.heads_kv ? row.head : row.head / problem.group;
    row.first_query = problem.first_query(row.sequence);
    row.queries = problem.len_q(row.sequence);
    row.first_pair = tile * kTileRows;
    row.pairs = min(kTileRows, row.queries * group - row.first_pair);
    row.len_k = problem.len_k(row.sequence, row.head_kv);
    if (row.pairs <= 0) return row;
    row.oldest = max(0, position(row, row.first_pair) - problem.window_tokens + 1);
    if (units != nullptr) {
      row.tokens = counts[(std::int64_t{row.sequence} * heads + row.head) * counts_stride] * unit_tokens;
    } else {
      row.start = row.oldest / kChunkTokens * kChunkTokens;
      row.tokens = position(row, row.first_pair + row.pairs - 1) + 1 - row.start;
    }
    row.chunks = (max(row.tokens, 0) + kChunkTokens - 1) / kChunkTokens;
    return row;
  }

  /// Where the query of a pair stands among the keys.
  __device__ std::int32_t position(PageRow const& row, int pair) const {
    return row.len_k - row.queries + pair / group;
  }
};

/// The chunks of all rows, one after the other, are cut in equal parts, one for each block: rows long and short share
/// the machine evenly. Where a part begins follows from the lengths and a constant, so results repeat bit for bit.
struct PagePart {
  std::int32_t chunks;      // in a part; a multiple of the warps of a block
  std::int32_t begin, end;  // this part; empty where there is no work left
  std::int32_t row_begin;   // where its first row begins
  int row;
};

/// Called by all threads of a block. Reads the length or the count of every row.
template <int Threads, class T>
__device__ PagePart cut_part(PageRows<T> const& rows, int part, int parts) {
  __shared__ std::int32_t warp_sums[Threads / 32];
  __shared__ std::int32_t found_begin;
  __shared__ int found_row;
  int const count = rows.count(), own = (count + Threads - 1) / Threads;
  int const first = min(count, static_cast<int>(threadIdx.x) * own), last = min(count, first + own);
  std::int32_t sum = 0;
  for (int row = first; row < last; ++row) sum += rows.at(row).chunks;
  std::int32_t before = sum;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    std::int32_t const other = __shfl_up_sync(kAllLanes, before, distance);
    if (lane_id() >= distance) before += other;
  }
  if (lane_id() == 31) warp_sums[threadIdx.x / 32U] = before;
  before -= sum;
  __syncthreads();
  std::int32_t total = 0;
#pragma unroll
  for (int warp = 0; warp < Threads / 32; ++warp) {
    if (warp < static_cast<int>(threadIdx.x / 32U)) before += warp_sums[warp];
    total += warp_sums[warp];
  }
  constexpr int kWarps = Threads / 32;
  PagePart cut{};
  cut.chunks = max((total + parts - 1) / parts, 1);
  cut.chunks = (cut.chunks + kWarps - 1) / kWarps * kWarps;
  cut.begin = min(cut.chunks * part, total);
  cut.end = min(cut.begin + cut.chunks, total);
  if (cut.begin < cut.end && before <= cut.begin && cut.begin < before + sum) {
    int row = first;
    for (std::int32_t chunks = rows.at(row).chunks; before + chunks <= cut.begin; chunks = rows.at(row).chunks) {
      before += chunks;
      ++row;
    }
    found_row = row;
    found_begin = before;
  }
  __syncthreads();
  cut.row = found_row;
  cut.row_begin = found_begin;
  return cut;
}

}  // namespace lacuna::cuda
