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
  std::int32_t const* units = nullptr;  // [batch * heads, room], or null
  std::int32_t const* counts = nullptr;
  std::int64_t room = 0, counts_stride = 0;
  std::int32_t unit_tokens = 1;
  std::int32_t heads = 0;  // of the index, per sequence
  std::int32_t group = 0;  // query heads of one of them
  std::int32_t tiles = 0;  // rows of work per head: of 16 pairs each, as many as max_len_q asks for
  // In place of the problem's keys and values, with a scale for each KV head.
  e4m3 const* k8 = nullptr;
  e4m3 const* v8 = nullptr;
  float const* k_scales = nullptr;
  float const* v_scales = nullptr;

  __device__ int count() const { return problem.batch * heads * tiles; }
  __device__ std::int32_t const* list(PageRow const& row) const {
    return units == nullptr ? nullptr : units + (std::int64_t{row.sequence} * heads + row.head) * room;
  }

  __device__ PageRow at(int index) const {
    PageRow row{};
    auto const rest =
        tiles == 1 ? static_cast<unsigned>(index) : static_cast<unsigned>(index) / static_cast<unsigned>(tiles);
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

/// What one block reads. Where parts begin follows from the lengths and a constant, so results repeat bit for bit.
/// Where it costs little more, every row is cut by itself in equal parts, none for two rows: a block that begins again
/// pays for all its first loads again. Otherwise the chunks of all rows, one after the other, are cut in equal parts,
/// so that rows long and short share the machine evenly.
struct PagePart {
  std::int32_t chunks;      // in a part of the stream; 0: rows are cut by themselves
  std::int32_t begin, end;  // in the stream of all chunks; empty where there is no work left
  std::int32_t row_begin;   // where its first row begins
  int row;
  int first_part, row_parts;  // of that row, where rows are cut by themselves
};

/// Chunks that a block might have read instead of beginning another row.
inline constexpr int kChunksOfAStart = 12;

template <int Threads>
__device__ __forceinline__ int block_sum(int (&sums)[Threads / 32], int x, int& total) {
  int inclusive = x;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    int const other = __shfl_up_sync(kAllLanes, inclusive, distance);
    if (lane_id() >= distance) inclusive += other;
  }
  if (lane_id() == 31) sums[threadIdx.x / 32U] = inclusive;
  __syncthreads();
  int before = inclusive - x;
  total = 0;
#pragma unroll
  for (int warp = 0; warp < Threads / 32; ++warp) {
    if (warp < static_cast<int>(threadIdx.x / 32U)) before += sums[warp];
    total += sums[warp];
  }
  return before;
}

/// What a block needs to find its part, in shared memory.
template <int Threads>
struct PartShared {
  static constexpr int kTries = 7;
  int sums[2][Threads / 32], tries[Threads / 32][kTries];
  PagePart found;
};

/// Called by all threads of a block. Reads the length or the count of every row.
template <int Threads, int Parts, class T>
__device__ PagePart cut_part(PageRows<T> const& rows, int part, PartShared<Threads>& shared) {
  constexpr int kOwn = (Parts + Threads - 1) / Threads;  // rows whose chunks a thread remembers
  constexpr int kTries = PartShared<Threads>::kTries;
  auto& sums = shared.sums;
  auto& tries = shared.tries;
  PagePart& found = shared.found;
  int const count = rows.count(), own = (count + Threads - 1) / Threads;
  int const first = min(count, static_cast<int>(threadIdx.x) * own), last = min(count, first + own);
  int mine[kOwn], sum = 0;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) sum += mine[i] = first + i < last ? rows.at(first + i).chunks : 0;
  for (int row = first + kOwn; row < last; ++row) sum += rows.at(row).chunks;
  int total;
  int before = block_sum<Threads>(sums[0], sum, total);
  int const least = max((total + Parts - 1) / Parts, 1);

  int by_row = 0;  // the fewest chunks of a part with which rows cut by themselves make do with all parts
  if (count <= Parts) {
    int parts[kTries] = {};
#pragma unroll
    for (int t = 0; t < kTries; ++t)
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        unsigned const size = static_cast<unsigned>(least + t * kChunksOfAStart / (kTries - 1));
        parts[t] += static_cast<int>((static_cast<unsigned>(mine[i]) + size - 1) / size);
      }
#pragma unroll
    for (int t = 0; t < kTries; ++t) {
      parts[t] = __reduce_add_sync(kAllLanes, parts[t]);
      if (lane_id() == 0) tries[threadIdx.x / 32U][t] = parts[t];
    }
    __syncthreads();
    for (int t = kTries - 1; t >= 0; --t) {
      int all = 0;
      for (int warp = 0; warp < Threads / 32; ++warp) all += tries[warp][t];
      if (all <= Parts) by_row = least + t * kChunksOfAStart / (kTries - 1);
    }
  }

  if (threadIdx.x == 0) found = {};
  if (by_row > 0) {
    int parts = 0, unused;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) parts += (mine[i] + by_row - 1) / by_row;
    int part_before = block_sum<Threads>(sums[1], parts, unused);
    if (part_before <= part && part < part_before + parts) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        int const of_row = (mine[i] + by_row - 1) / by_row;
        if (part_before <= part && part < part_before + of_row) {
          int const size = (mine[i] + of_row - 1) / of_row;
          found = {0,
                   before + min((part - part_before) * size, mine[i]),
                   before + min((part - part_before + 1) * size, mine[i]),
                   before,
                   first + i,
                   part_before,
                   of_row};
        }
        part_before += of_row;
        before += mine[i];
      }
    }
  } else {
    constexpr int kWarps = Threads / 32;
    int const chunks = (least + kWarps - 1) / kWarps * kWarps;
    int const begin = static_cast<int>(min(static_cast<long long>(chunks) * part, static_cast<long long>(total)));
    __syncthreads();
    if (begin < total && before <= begin && begin < before + sum) {
      int row = first;
      for (int next = rows.at(row).chunks; before + next <= begin; next = rows.at(row).chunks) {
        before += next;
        ++row;
      }
      found = {chunks, begin, min(begin + chunks, total), before, row, 0, 0};
    }
  }
  __syncthreads();
  PagePart const own_part = found;
  __syncthreads();  // `shared` is free again
  return own_part;
}

}  // namespace lacuna::cuda
