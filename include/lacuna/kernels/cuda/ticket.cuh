#pragma once

#include <cstdint>

namespace lacuna::cuda {

/// Called by all threads of each of `others` + 1 blocks once what it has to leave for the others is written: true in
/// the block that comes last, which then sees what all have left. A ticket is 0 before and 0 again after.
__device__ __forceinline__ bool is_last(std::int32_t* ticket, int others) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    auto const limit = static_cast<unsigned>(others);
    last = atomicInc(reinterpret_cast<unsigned*>(ticket), limit) == limit;
  }
  __syncthreads();
  __threadfence();
  return last;
}

}  // namespace lacuna::cuda
