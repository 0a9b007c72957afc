#pragma once

#include "lacuna/kv/batch_paged.hpp"

#if LACUNA_CUDA

#include "lacuna/kernels/token_numbers.hpp"

namespace lacuna {

/// As AccumulatingCache, for a batch on the device.
template <Storage T>
class BatchAccumulatingCache : public BatchPagedCache<T> {
  using Base = BatchPagedCache<T>;

 public:
  static std::size_t bytes(BatchPagePool<T> const& pool, std::int64_t batch, std::int64_t capacity_tokens,
                           std::int64_t heads_kv, std::int64_t bounds_page_tokens = 0) {
    Workspace memory;
    (void)take_numbers(memory, batch, capacity_tokens, heads_kv);
    memory.take<std::byte>(
        static_cast<std::int64_t>(Base::bytes(pool, batch, capacity_tokens, heads_kv, bounds_page_tokens)));
    return memory.used_bytes();
  }

  /// As BatchPagedCache.
  BatchAccumulatingCache(BatchPagePool<T> const& pool, void* memory, std::int64_t batch, std::int64_t capacity_tokens,
                         std::int64_t heads_kv, std::int64_t bounds_page_tokens = 0)
      : BatchAccumulatingCache(pool,
                               Workspace(memory, bytes(pool, batch, capacity_tokens, heads_kv, bounds_page_tokens)),
                               batch, capacity_tokens, heads_kv, bounds_page_tokens) {}

  Status append(Cuda exec, NewTokens<T> const& rows) const {
    if (Status s = Base::append(exec, rows); !s) return s;
    return begin_numbers(exec, {numbers_, this->served_lens(), this->before(), this->most_of(rows), rows.cu});
  }

  BatchKv<T> view() const {
    BatchKv<T> kv = Base::view();
    kv.mass = numbers_.mass;
    kv.positions = numbers_.positions;
    return kv;
  }

  /// As BatchEvictingCache.
  Status retain(Cuda exec, TokenIndex const& kept) const {
    if (Status s = keep_numbers(exec, {numbers_, kept}); !s) return s;
    return this->keep(exec, kept);
  }

 private:
  BatchAccumulatingCache(BatchPagePool<T> const& pool, Workspace memory, std::int64_t batch,
                         std::int64_t capacity_tokens, std::int64_t heads_kv, std::int64_t bounds_page_tokens)
      : BatchAccumulatingCache(pool, take_numbers(memory, batch, capacity_tokens, heads_kv), memory, batch,
                               capacity_tokens, heads_kv, bounds_page_tokens) {}
  // `memory` by reference: the numbers are carved from it first, in whatever order arguments are made.
  BatchAccumulatingCache(BatchPagePool<T> const& pool, TokenNumbers const& numbers, Workspace& memory,
                         std::int64_t batch, std::int64_t capacity_tokens, std::int64_t heads_kv,
                         std::int64_t bounds_page_tokens)
      : Base(pool,
             memory.take<std::byte>(
                 static_cast<std::int64_t>(Base::bytes(pool, batch, capacity_tokens, heads_kv, bounds_page_tokens))),
             batch, capacity_tokens, heads_kv, bounds_page_tokens),
        numbers_(numbers) {}

  static TokenNumbers take_numbers(Workspace& memory, std::int64_t batch, std::int64_t capacity_tokens,
                                   std::int64_t heads_kv) {
    auto const mass = memory.take<float, 3>({batch, heads_kv, capacity_tokens});
    return {mass, memory.take<std::int32_t, 3>({batch, heads_kv, capacity_tokens})};
  }

  TokenNumbers numbers_;
};

}  // namespace lacuna

#endif
