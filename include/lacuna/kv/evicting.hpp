#pragma once

#include "lacuna/index/token_index.hpp"
#include "lacuna/kernels/gather_kv.hpp"
#include "lacuna/kv/paged.hpp"

namespace lacuna {

/// As PagedCache, but forgets: retain() compacts each head, in ascending position, into its first pages and gives the
/// others back to the pool. Heads may end up with different lengths; later tokens are appended at each head's own end.
template <Storage T>
class EvictingCache : private PagedCache<T> {
  using Base = PagedCache<T>;

 public:
  using Base::append, Base::bytes, Base::clear, Base::length, Base::view;
  using Base::Base;
#if LACUNA_CUDA
  using Batch = BatchEvictingCache<T>;
#endif

  /// Keeps the tokens of `kept` alone; it was made for the lengths that the heads have now.
  Status retain(Cpu exec, TokenIndex const& kept) {
    KvView<T> const kv = view();
    if (kept.heads() != kv.heads_kv)
      return Status::invalid("evicting_cache: the index must have one row per KV head", kept.heads(), kv.heads_kv);
    if (Status s = kept.check(Shape{0, kv.len, kv.heads_kv, kv.heads_kv, kv.dim}); !s) return s;
    if (Status s = gather_kv<T>(exec, {kv, this->pool().keys(), this->pool().values(), kept}); !s) return s;
    for (std::int64_t head = 0; head < kv.heads_kv; ++head) this->shrink(head, kept.counts(head));
    return this->update_bounds(exec, kv.len);
  }
};

}  // namespace lacuna
