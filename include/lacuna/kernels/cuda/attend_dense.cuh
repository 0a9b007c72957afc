#pragma once

#include "lacuna/kernels/attend_dense.hpp"
#include "lacuna/kernels/cuda/flash_mma.cuh"
#include "lacuna/kernels/cuda/flash_wgmma.cuh"

namespace lacuna {
namespace cuda {

/// Every key up to the query's own, or as far back as a sliding window reaches.
struct DenseKeys {
  struct Keys {
    std::int32_t first, count;
    __device__ std::int32_t at(std::int32_t i) const { return first + i; }
    __device__ bool sees(std::int32_t, std::int32_t) const { return true; }
    __device__ bool all_see(std::int32_t, std::int32_t, std::int32_t) const { return true; }
  };

  __device__ std::int32_t block_begin(std::int32_t block, std::int32_t positions, std::int32_t first_position) const {
    return first_position + block * positions;
  }
  template <class T>
  __device__ Keys keys(DeviceProblem<T> const& p, FlashTile const& tile, FlashRows const& rows) const {
    std::int32_t const oldest_query = tile.first_position();
    std::int32_t const first = oldest_query < p.window_tokens ? 0 : oldest_query + 1 - p.window_tokens;
    return {first, tile.last_position(rows) + 1 - first};
  }
};

}  // namespace cuda

inline void reserve_attend_dense(Cuda, BatchShape const&, Workspace& memory) { cuda::reserve_flash_wgmma(memory); }

template <Storage T>
  requires(sizeof(T) == 2)
Status attend_dense(Cuda exec, AttendDenseBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  if (args.problem.batch == 0 || args.problem.tokens_q() == 0) return {};
  bool const long_enough = args.problem.max_len_q > 64;  // fewer rows share a tile with other heads on the generic path
  auto const hopper = cuda::takes_flash_wgmma(cuda::flash_wgmma_serves(args.problem, args.out), long_enough);
  if (!hopper) return hopper.status();
  if (*hopper) return cuda::launch_flash_wgmma(exec, args.problem, args.out, args.scratch);
  return cuda::attend_gathered(exec, args.problem, args.out, cuda::DenseKeys{});
}

}  // namespace lacuna
