#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace lacuna::cuda {

__device__ __forceinline__ std::uint32_t smem_address(void const* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

// Below sm_80 what follows is empty, so that every translation unit compiles; launch() then refuses.

// ---- cp.async (sm_80): 16 bytes a thread; in groups that are waited for in order

/// Copies `bytes` (0 to 16) and fills the rest of the 16 with zeros.
__device__ __forceinline__ void copy16_or_zero(std::uint32_t to_smem, void const* from, int bytes = 16) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to_smem), "l"(from), "r"(bytes)
               : "memory");
#endif
}
__device__ __forceinline__ void close_copy_group() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int StillOpen>
__device__ __forceinline__ void wait_copy_groups() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(StillOpen) : "memory");
#endif
}

// ---- mbarrier (sm_80; expected bytes and the copy engine sm_90): a phase ends when all arrivals and all expected
// bytes have come

__device__ __forceinline__ void barrier_init(std::uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_address(barrier)), "r"(arrivals) : "memory");
}
/// Makes initialised barriers visible to the copy engine; then __syncthreads().
__device__ __forceinline__ void barrier_init_done() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void barrier_arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(smem_address(barrier)) : "memory");
}
__device__ __forceinline__ void barrier_arrive_expecting(std::uint64_t* barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem_address(barrier)), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ bool barrier_passed(std::uint64_t* barrier, std::uint32_t parity) {
  std::uint32_t passed;
  asm volatile(
      "{\n.reg .pred p;\n"
#if __CUDA_ARCH__ >= 900
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
#else
      "mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\n"
#endif
      "selp.b32 %0, 1, 0, p;\n}"
      : "=r"(passed)
      : "r"(smem_address(barrier)), "r"(parity)
      : "memory");
  return passed != 0;
}
/// Until the phase of this parity has ended: 0 for the first phase of a fresh barrier, 1 passes at once on it.
__device__ __forceinline__ void barrier_wait(std::uint64_t* barrier, std::uint32_t parity) {
  while (!barrier_passed(barrier, parity)) {
  }
}
/// This thread's cp.async copies so far arrive at the barrier when they land; counts as one of its arrivals.
__device__ __forceinline__ void barrier_arrive_after_copies(std::uint64_t* barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(smem_address(barrier)) : "memory");
}
/// What other threads wrote to shared memory by ordinary means becomes visible to wgmma and to the copy engine.
__device__ __forceinline__ void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// ---- the copy engine (sm_90): boxes of a tensor map, and runs of bytes

__device__ __forceinline__ void prefetch_tensor_map(void const* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
__device__ __forceinline__ void copy_box(void* to_smem, void const* map, std::uint64_t* barrier, int c0, int c1, int c2,
                                         int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3,%4,%5,%6}], "
      "[%2];" ::"r"(smem_address(to_smem)),
      "l"(map), "r"(smem_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}
__device__ __forceinline__ void copy_box(void* to_smem, void const* map, std::uint64_t* barrier, int c0, int c1, int c2,
                                         int c3, int c4) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3,%4,%5,%6,%7}], [%2];" ::"r"(smem_address(to_smem)),
      "l"(map), "r"(smem_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4)
      : "memory");
}
/// Both addresses and `bytes` are multiples of 16.
__device__ __forceinline__ void copy_bytes(void* to_smem, void const* from, std::uint32_t bytes,
                                           std::uint64_t* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   smem_address(to_smem)),
               "l"(from), "r"(bytes), "r"(smem_address(barrier))
               : "memory");
}

// ---- roles inside a block

/// Barrier `id` (1 to 15) of `threads` threads, whole warps.
__device__ __forceinline__ void named_barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

}  // namespace lacuna::cuda
