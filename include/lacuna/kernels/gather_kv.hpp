#pragma once

#include <type_traits>

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

}  // namespace lacuna

#include "lacuna/kernels/cpu/gather_kv.hpp"
