#pragma once

#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/config.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"

namespace lacuna {

/// Stores new keys and values of a batch, on the device. A head that is a ring keeps its first `sink_tokens`, and
/// behind them the newest token takes the place of the oldest of `ring_tokens - sink_tokens`; others take them at their
/// end.
template <class T>
struct AppendRingArgs {
  BatchKv<T> kv;   // lens count the new tokens already; 0: the sequence was refused
  T* k = nullptr;  // kv.k and kv.v, to write
  T* v = nullptr;
  std::int64_t batch = 0;
  TensorView<T const, 3> new_k;  // [tokens, heads_kv, dim]; the last axis is dense
  TensorView<T const, 3> new_v;
  std::int64_t new_tokens = 0;           // of each sequence, or the most of one
  std::int32_t const* cu_new = nullptr;  // [batch + 1] or null, as GrowTablesArgs has it
  std::int32_t const* before = nullptr;  // [batch], tokens of the sequence that came before
  std::int64_t sink_tokens = 0, ring_tokens = 0;
  std::uint8_t const* ring_heads = nullptr;  // [heads_kv], 1 for rings; null: all of them

  Status check() const {
    if (k != kv.k || v != kv.v) return Status::invalid("append_ring: k and v must be those of kv");
    if (sink_tokens < 0) return Status::invalid("append_ring: sink_tokens must not be negative", sink_tokens, 0);
    if (ring_tokens <= sink_tokens)
      return Status::invalid("append_ring: ring_tokens must exceed sink_tokens", ring_tokens, sink_tokens);
    if (new_k.extents != new_v.extents || new_k.extent(1) != kv.heads_kv || new_k.extent(2) != kv.dim ||
        new_k.stride(2) != 1 || new_v.stride(2) != 1)
      return Status::invalid("append_ring: new_k and new_v must be [tokens, heads_kv, dim], the last axis dense",
                             new_k.extent(1), kv.heads_kv);
    return {};
  }
};

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/append_ring.cuh"
#endif
