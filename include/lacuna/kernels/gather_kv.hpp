#pragma once

#include <type_traits>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/dtype.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/kv_view.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/index/token_index.hpp"

namespace lacuna {

/// Moves the kept tokens of each head to the front of where the head's tokens lie, in ascending position, in place.
template <Storage T>
struct GatherKvArgs {
  KvView<T> kv;
  T* k = nullptr;  // kv.k and kv.v, to write
  T* v = nullptr;
  TokenIndex index;

  Status check() const {
    if (k != kv.k || v != kv.v) return Status::invalid("gather_kv: k and v must be those of kv");
    if (index.heads() != kv.heads_kv)
      return Status::invalid("gather_kv: the index must have one row per KV head", index.heads(), kv.heads_kv);
    for (std::int64_t head = 0; head < kv.heads_kv; ++head)
      if (index.lens(head) != kv.length(head))
        return Status::invalid("gather_kv: the index was made for another length", index.lens(head), kv.length(head));
    return {};
  }
};

/// Moves the kept tokens of each head of a batch, in ascending position, to the front of where the head's tokens are to
/// lie: elsewhere, or in place. Page tables, strides and pages of the two may differ. All pointers are the device's.
template <class T>
struct GatherKvBatchArgs {
  BatchKv<T> from;
  BatchKv<T> to;      // lens are not read; the same k as from: in place, and then it must be the same view
  T* to_k = nullptr;  // to.k and to.v, to write
  T* to_v = nullptr;
  std::int64_t batch = 0;
  TokenIndex index;  // rows are batch * heads_kv, sequence major; lens are not read
  /// out [batch, heads_kv]; data may be null. What each head holds now, and how many pages of `from` that leaves over
  /// at the end of its table. lens may be that of `from`.
  TensorView<std::int32_t, 2> lens{};
  TensorView<std::int32_t, 2> freed_pages{};

  bool in_place() const { return to.k == from.k; }

  Status check() const {
    if (to_k != to.k || to_v != to.v) return Status::invalid("gather_kv: to_k and to_v must be those of to");
    if (in_place() && (to.v != from.v || to.page_table.data != from.page_table.data ||
                       to.first_token != from.first_token || to.stride_token != from.stride_token ||
                       to.stride_head != from.stride_head || to.stride_page != from.stride_page))
      return Status::invalid("gather_kv: in place, from and to must be the same view");
    if (from.heads_kv != to.heads_kv || from.dim != to.dim)
      return Status::invalid("gather_kv: from and to must have the same heads_kv and dim", to.dim, from.dim);
    if (index.heads() != batch * from.heads_kv)
      return Status::invalid("gather_kv: the index must have one row per KV head of a sequence", index.heads(),
                             batch * from.heads_kv);
    if (index.tokens.stride(1) != 1)
      return Status::invalid("gather_kv: the last axis of tokens must be dense", index.tokens.stride(1), 1);
    if (freed_pages.data != nullptr && !from.paged())
      return Status::invalid("gather_kv: without pages none can be freed");
    if (freed_pages.data != nullptr && from.lens.data == nullptr)
      return Status::invalid("gather_kv: freed_pages needs the lens of from");
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/gather_kv.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/gather_kv.cuh"
#endif
