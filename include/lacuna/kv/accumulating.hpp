#pragma once

#include <algorithm>
#include <numeric>

#include "lacuna/kv/batch_accumulating.hpp"
#include "lacuna/kv/evicting.hpp"

namespace lacuna {

/// As EvictingCache, and beside each token it keeps its position in the sequence and the attention that it has
/// received: nothing at first, and what a selector adds. Both move with their tokens.
template <Storage T>
class AccumulatingCache : private EvictingCache<T> {
  using Base = EvictingCache<T>;

 public:
  using Base::length;
#if LACUNA_CUDA
  using Batch = BatchAccumulatingCache<T>;
#endif

  static std::size_t bytes(PagePool<T> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv,
                           std::int64_t bounds_page_tokens = 0) {
    Workspace memory;
    (void)Beside(memory, capacity_tokens, heads_kv);
    memory.take<std::byte>(static_cast<std::int64_t>(Base::bytes(pool, capacity_tokens, heads_kv, bounds_page_tokens)));
    return memory.used_bytes();
  }

  /// `memory` holds bytes(...), aligned to Workspace::kAlignment; it and the pool outlive the cache.
  AccumulatingCache(PagePool<T>& pool, void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
                    std::int64_t bounds_page_tokens = 0)
      : Base(pool, base_memory(memory, capacity_tokens, heads_kv), capacity_tokens, heads_kv, bounds_page_tokens) {
    Workspace space(memory, bytes(pool, capacity_tokens, heads_kv, bounds_page_tokens));
    beside_ = Beside(space, capacity_tokens, heads_kv);
  }

  Status append(Cpu exec, TensorView<T const, 3> k, TensorView<T const, 3> v) {
    if (Status s = Base::append(exec, k, v); !s) return s;
    for (std::int64_t head = 0; head < beside_.mass.extent(0); ++head) {
      std::int64_t const first = length(head) - k.extent(0);
      std::fill_n(beside_.mass.slice(head) + first, k.extent(0), 0.0F);
      std::iota(beside_.positions.slice(head) + first, beside_.positions.slice(head) + length(head), seen_);
    }
    seen_ += static_cast<std::int32_t>(k.extent(0));
    return {};
  }

  KvView<T> view() const {
    KvView<T> kv = Base::view();
    kv.mass = beside_.mass;
    kv.positions = beside_.positions;
    return kv;
  }

  /// Keeps the tokens of `kept` alone; it was made for the lengths that the heads have now.
  Status retain(Cpu exec, TokenIndex const& kept) {
    if (Status s = Base::retain(exec, kept); !s) return s;
    for (std::int64_t head = 0; head < beside_.mass.extent(0); ++head)
      for (std::int64_t i = 0; i < kept.counts(head); ++i) {
        beside_.mass(head, i) = beside_.mass(head, kept.tokens(head, i));
        beside_.positions(head, i) = beside_.positions(head, kept.tokens(head, i));
      }
    return {};
  }

  void clear() {
    Base::clear();
    seen_ = 0;
  }

 private:
  struct Beside {
    Beside() = default;
    Beside(Workspace& memory, std::int64_t capacity_tokens, std::int64_t heads_kv)
        : mass(memory.take<float, 2>({heads_kv, capacity_tokens})),
          positions(memory.take<std::int32_t, 2>({heads_kv, capacity_tokens})) {}
    TensorView<float, 2> mass;              // [heads_kv, capacity]
    TensorView<std::int32_t, 2> positions;  // [heads_kv, capacity]
  };

  static void* base_memory(void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv) {
    Workspace counting;
    (void)Beside(counting, capacity_tokens, heads_kv);
    std::size_t const used = (counting.used_bytes() + Workspace::kAlignment - 1) / Workspace::kAlignment;
    return static_cast<std::byte*>(memory) + used * Workspace::kAlignment;
  }

  Beside beside_;
  std::int32_t seen_ = 0;  // tokens appended
};

}  // namespace lacuna
