#pragma once

#include <algorithm>

#include "lacuna/kv/evicting.hpp"

namespace lacuna {

/// As EvictingCache, and beside each token it keeps the attention that the token has received: nothing at first, and
/// what a selector adds. The sums move with their tokens.
template <Storage T>
class AccumulatingCache : private EvictingCache<T> {
  using Base = EvictingCache<T>;

 public:
  using Base::clear, Base::length;

  static std::size_t bytes(PagePool<T> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv,
                           std::int64_t bounds_page_tokens = 0) {
    Workspace memory;
    memory.take<float>(capacity_tokens * heads_kv);
    memory.take<std::byte>(static_cast<std::int64_t>(Base::bytes(pool, capacity_tokens, heads_kv, bounds_page_tokens)));
    return memory.used_bytes();
  }

  /// `memory` holds bytes(...), aligned to Workspace::kAlignment; it and the pool outlive the cache.
  AccumulatingCache(PagePool<T>& pool, void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
                    std::int64_t bounds_page_tokens = 0)
      : Base(pool, base_memory(memory, capacity_tokens, heads_kv), capacity_tokens, heads_kv, bounds_page_tokens),
        mass_(dense_view<float, 2>(static_cast<float*>(memory), {heads_kv, capacity_tokens})) {}

  Status append(Cpu exec, TensorView<T const, 3> k, TensorView<T const, 3> v) {
    if (Status s = Base::append(exec, k, v); !s) return s;
    for (std::int64_t head = 0; head < mass_.extent(0); ++head)
      std::fill_n(mass_.slice(head) + length(head) - k.extent(0), k.extent(0), 0.0F);
    return {};
  }

  KvView<T> view() const {
    KvView<T> kv = Base::view();
    kv.mass = mass_;
    return kv;
  }

  /// Keeps the tokens of `kept` alone; it was made for the lengths that the heads have now.
  Status retain(Cpu exec, TokenIndex const& kept) {
    if (Status s = Base::retain(exec, kept); !s) return s;
    for (std::int64_t head = 0; head < mass_.extent(0); ++head)
      for (std::int64_t i = 0; i < kept.counts(head); ++i) mass_(head, i) = mass_(head, kept.tokens(head, i));
    return {};
  }

 private:
  static void* base_memory(void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv) {
    Workspace counting;
    counting.take<float>(capacity_tokens * heads_kv);
    std::size_t const used = (counting.used_bytes() + Workspace::kAlignment - 1) / Workspace::kAlignment;
    return static_cast<std::byte*>(memory) + used * Workspace::kAlignment;
  }

  TensorView<float, 2> mass_;  // [heads_kv, capacity]
};

}  // namespace lacuna
