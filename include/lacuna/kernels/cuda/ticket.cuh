#pragma once

#include <cstdint>

namespace lacuna::cuda {

/// Called by all threads of each of `others` + 1 blocks once what it has to leave for the others is written: true in
/// the block that comes last, which then sees what all have left, by loads that pass the level-1 cache (__ldcg). A
/// ticket is 0 before and 0 again after. `last` is the block's, in shared memory.
__device__ __forceinline__ bool is_last(std::int32_t* ticket, int others, bool& last) {
  __syncthreads();
  if (threadIdx.x == 0) {  // its fences cover what the barrier has shown it of the others' writes
    __threadfence();
    auto const limit = static_cast<unsigned>(others);
    last = atomicInc(reinterpret_cast<unsigned*>(ticket), limit) == limit;
    __threadfence();
  }
  __syncthreads();
  return last;
}

}  // namespace lacuna::cuda
