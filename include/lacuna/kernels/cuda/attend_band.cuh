#pragma once

#include "lacuna/kernels/attend_band.hpp"
#include "lacuna/kernels/cuda/flash_mma.cuh"

namespace lacuna {
namespace cuda {

/// The first keys and a window of recent ones; the last queries see everything.
struct BandKeys {
  std::int32_t sink_tokens, window_tokens, dense_queries;

  struct Keys {
    std::int32_t sink_tokens, window_tokens, first_dense_query, sink_end, begin, count;
    __device__ std::int32_t at(std::int32_t i) const { return i < sink_end ? i : begin + i - sink_end; }
    __device__ bool sees(std::int32_t query, std::int32_t key) const {
      return key < sink_tokens || query - key < window_tokens || query >= first_dense_query;
    }
    __device__ bool all_see(std::int32_t first_key, std::int32_t last_key, std::int32_t newest_query) const {
      return last_key < sink_tokens || newest_query - first_key < window_tokens;
    }
  };

  __device__ std::int32_t block_begin(std::int32_t block, std::int32_t positions, std::int32_t first_position) const {
    return first_position + block * positions;
  }
  template <class T>
  __device__ Keys keys(DeviceProblem<T> const&, FlashTile const& tile, FlashRows const& rows) const {
    std::int32_t const first_dense = tile.len_k - dense_queries, oldest = tile.first_position(),
                       newest = tile.last_position(rows);
    std::int32_t const begin = newest >= first_dense || oldest < window_tokens ? 0 : oldest + 1 - window_tokens;
    std::int32_t const sink_end = min(sink_tokens, begin);
    return {sink_tokens, window_tokens, first_dense, sink_end, begin, sink_end + newest + 1 - begin};
  }
};

}  // namespace cuda

/// Needs no scratch.
inline void reserve_attend_band(Cuda, BatchShape const&, Workspace&) {}

template <Storage T>
  requires(sizeof(T) == 2)
Status attend_band(Cuda exec, AttendBandBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  auto const within = [&](std::int64_t tokens) {
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(tokens, 0, args.problem.max_len_k));
  };
  cuda::BandKeys const band{within(args.index.sink_tokens), within(args.index.window_tokens),
                            within(args.index.dense_queries)};
  return cuda::attend_gathered(exec, args.problem, args.out, band);
}

}  // namespace lacuna
