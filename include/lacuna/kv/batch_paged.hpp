#pragma once

#include "lacuna/core/config.hpp"

#if LACUNA_CUDA

#include <cstddef>
#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/token_index.hpp"
#include "lacuna/kernels/gather_kv.hpp"
#include "lacuna/kernels/page_bounds.hpp"
#include "lacuna/kernels/page_tables.hpp"

// The caches of a batch on the device. Who holds which page, and how many tokens, lies there too: no call reads
// anything back, so that appends, evictions and ends can be captured in a graph together with the steps between them.
// Calls follow each other on one stream, those of all caches of a pool.

namespace lacuna {

/// As PagePool, in the caller's device memory, for caches on the device. // [pages, 2, page_tokens, dim]
template <Storage T>
class BatchPagePool {
 public:
  static std::size_t bytes(std::int64_t pages, std::int64_t page_tokens, std::int64_t dim) {
    Workspace memory;
    (void)BatchPagePool(memory, pages, page_tokens, dim);
    return memory.used_bytes();
  }

  /// `memory` holds bytes(...), aligned to Workspace::kAlignment, and outlives the pool and its copies.
  BatchPagePool(void* memory, std::int64_t pages, std::int64_t page_tokens, std::int64_t dim)
      : BatchPagePool(Workspace(memory, bytes(pages, page_tokens, dim)), pages, page_tokens, dim) {}

  /// Every page is free: before the first use.
  Status reset(Cuda exec) const { return free_all_pages(exec, free_); }

  std::int64_t page_tokens() const { return page_tokens_; }
  std::int64_t dim() const { return dim_; }
  std::int64_t pages() const { return free_.ids.extent(0); }
  std::int64_t stride_page() const { return 2 * page_tokens_ * dim_; }
  T* keys() const { return data_; }
  T* values() const { return data_ + page_tokens_ * dim_; }
  FreePages const& free() const { return free_; }

 private:
  BatchPagePool(Workspace&& memory, std::int64_t pages, std::int64_t page_tokens, std::int64_t dim)
      : BatchPagePool(memory, pages, page_tokens, dim) {}
  BatchPagePool(Workspace& memory, std::int64_t pages, std::int64_t page_tokens, std::int64_t dim)
      : data_(memory.take<T>(pages * 2 * page_tokens * dim)),
        page_tokens_(page_tokens),
        dim_(dim),
        free_{memory.take<std::int32_t, 1>({pages}), memory.take<std::int32_t>(1)} {}

  T* data_;
  std::int64_t page_tokens_, dim_;
  FreePages free_;
};

/// New tokens of a batch: those of a sequence follow each other, behind those of the sequences before it.
template <Storage T>
struct NewTokens {
  TensorView<T const, 3> k;  // [tokens, heads_kv, dim]; the last axis is dense
  TensorView<T const, 3> v;
  std::int32_t const* cu = nullptr;  // [batch + 1] on the device; null: every sequence has as many
  std::int64_t most = 0;             // that one sequence ever has, with cu; 0: all of them
};

/// As PagedCache, for a batch on the device: keeps everything, and bounds with bounds_page_tokens > 0.
template <Storage T>
class BatchPagedCache {
 public:
  static std::size_t bytes(BatchPagePool<T> const& pool, std::int64_t batch, std::int64_t capacity_tokens,
                           std::int64_t heads_kv, std::int64_t bounds_page_tokens = 0) {
    Workspace memory;
    (void)State(memory, pool, batch, capacity_tokens, heads_kv, bounds_page_tokens);
    return memory.used_bytes();
  }

  /// `memory` holds bytes(...) of the device, aligned to Workspace::kAlignment; it and the pool's outlive the cache. No
  /// head may come to hold more than `capacity_tokens`.
  BatchPagedCache(BatchPagePool<T> const& pool, void* memory, std::int64_t batch, std::int64_t capacity_tokens,
                  std::int64_t heads_kv, std::int64_t bounds_page_tokens = 0)
      : BatchPagedCache(pool, Workspace(memory, bytes(pool, batch, capacity_tokens, heads_kv, bounds_page_tokens)),
                        batch, capacity_tokens, heads_kv, bounds_page_tokens) {}

  /// Holds nothing: before the first use. Pages that it held are forgotten, not given back.
  Status reset(Cuda exec) const { return clear(exec, state_.numbers); }

  /// Stores tokens behind every head's last. A sequence for which the pool, or a head, has no room left keeps what it
  /// had, gets none, and is counted in refused(); others do not notice.
  Status append(Cuda exec, NewTokens<T> const& rows) const {
    if (Status s = grow(exec, rows, 0, nullptr); !s) return s;
    return store(exec, rows);
  }

  BatchKv<T> view() const {
    BatchKv<T> kv;
    kv.k = pool_.keys();
    kv.v = pool_.values();
    kv.heads_kv = heads_kv();
    kv.dim = pool_.dim();
    kv.stride_token = pool_.dim();
    kv.lens = state_.tables.lens;
    kv.page_table = state_.tables.pages;
    kv.page_tokens = pool_.page_tokens();
    kv.stride_page = pool_.stride_page();
    kv.bounds = state_.bounds;
    kv.bounds_page_tokens = bounds_page_tokens_;
    return kv;
  }

  template <class Index>
  Status retain(Cuda, Index const&) const {
    return {};
  }

  /// Sequences with a 1 here give all of their pages back. // [batch], on the device
  Status end(Cuda exec, std::uint8_t const* ended) const {
    return shrink_tables(exec, {state_.tables, pool_.free(), {}, ended, state_.seen.data});
  }

  /// How often each sequence was refused, on the device; the caller reads it when it likes. // [batch]
  TensorView<std::int32_t, 1> refused() const { return state_.refused; }
  /// Tokens that each sequence was given, forgotten ones included, on the device. // [batch]
  TensorView<std::int32_t, 1> seen() const { return state_.seen; }

  std::int64_t batch() const { return state_.tables.batch(); }
  std::int64_t heads_kv() const { return state_.tables.heads_kv(); }
  std::int64_t capacity_tokens() const { return capacity_tokens_; }

 protected:
  /// Pages and lengths for new tokens. With ring_tokens > 0 some heads are rings, as GrowTablesArgs has it.
  Status grow(Cuda exec, NewTokens<T> const& rows, std::int64_t ring_tokens, std::uint8_t const* ring_heads) const {
    GrowTablesArgs args;
    args.tables = state_.tables;
    args.pool = pool_.free();
    args.new_tokens = most_of(rows);
    args.cu_new = rows.cu;
    args.capacity_tokens = capacity_tokens_;
    args.ring_tokens = ring_tokens;
    args.ring_heads = ring_heads;
    args.seen = state_.seen.data;
    args.before = state_.before.data;
    args.refused = state_.refused.data;
    args.served_lens = state_.served_lens;
    return grow_tables(exec, args);
  }

  Status store(Cuda exec, NewTokens<T> const& rows) const {
    AppendKvBatchArgs<T> args;
    args.cache = bounds_args(most_of(rows));
    args.cache.kv.lens = state_.served_lens;
    args.k = pool_.keys();
    args.v = pool_.values();
    args.new_k = rows.k;
    args.new_v = rows.v;
    args.cu_new = rows.cu;
    return append_kv(exec, args);
  }

  Status keep(Cuda exec, TokenIndex const& kept) const {
    BatchKv<T> const kv = view();
    if (Status s = gather_kv(exec, GatherKvBatchArgs<T>{kv, kv, pool_.keys(), pool_.values(), batch(), kept}); !s)
      return s;
    if (Status s = shrink_tables(exec, {state_.tables, pool_.free(), kept.counts}); !s || bounds_page_tokens_ == 0)
      return s;
    return page_bounds(exec, bounds_args(capacity_tokens_));
  }

  std::int64_t most_of(NewTokens<T> const& rows) const {
    if (rows.cu == nullptr) return batch() == 0 ? 0 : rows.k.extent(0) / batch();
    return rows.most > 0 ? rows.most : rows.k.extent(0);
  }
  BatchPagePool<T> const& pool() const { return pool_; }
  TensorView<std::int32_t const, 2> served_lens() const { return state_.served_lens; }
  std::int32_t const* before() const { return state_.before.data; }

 private:
  struct State {
    State(Workspace& memory, BatchPagePool<T> const& pool, std::int64_t batch, std::int64_t capacity_tokens,
          std::int64_t heads_kv, std::int64_t bounds_page_tokens) {
      std::int64_t const heads = batch * heads_kv;
      numbers = memory.take<std::int32_t, 1>({2 * heads + 3 * batch});
      auto const part = [&](std::int64_t begin, std::int64_t count) {
        return dense_view<std::int32_t, 1>(numbers.data == nullptr ? nullptr : numbers.data + begin, {count});
      };
      tables.lens = dense_view<std::int32_t, 2>(numbers.data, {batch, heads_kv});
      served_lens = dense_view<std::int32_t, 2>(part(heads, heads).data, {batch, heads_kv});
      seen = part(2 * heads, batch);
      before = part(2 * heads + batch, batch);
      refused = part(2 * heads + 2 * batch, batch);
      tables.page_tokens = pool.page_tokens();
      tables.pages = memory.take<std::int32_t, 3>(
          {batch, heads_kv, (capacity_tokens + pool.page_tokens() - 1) / pool.page_tokens()});
      if (bounds_page_tokens > 0)
        bounds = memory.take<T, 5>(
            {batch, heads_kv, (capacity_tokens + bounds_page_tokens - 1) / bounds_page_tokens, 2, pool.dim()});
    }
    PageTablesView tables;
    TensorView<std::int32_t, 1> numbers;      // all that reset() clears, in one piece
    TensorView<std::int32_t, 2> served_lens;  // [batch, heads_kv], of the last append; 0 where it was refused
    TensorView<std::int32_t, 1> seen, before, refused;
    TensorView<T, 5> bounds;  // [batch, heads_kv, pages, 2, dim]
  };

  BatchPagedCache(BatchPagePool<T> const& pool, Workspace memory, std::int64_t batch, std::int64_t capacity_tokens,
                  std::int64_t heads_kv, std::int64_t bounds_page_tokens)
      : pool_(pool),
        capacity_tokens_(capacity_tokens),
        bounds_page_tokens_(bounds_page_tokens),
        state_(memory, pool, batch, capacity_tokens, heads_kv, bounds_page_tokens) {}

  PageBoundsBatchArgs<T> bounds_args(std::int64_t new_tokens) const {
    return {view(),     batch(),       capacity_tokens_,
            new_tokens, state_.bounds, bounds_page_tokens_ > 0 ? bounds_page_tokens_ : 1};
  }

  BatchPagePool<T> pool_;
  std::int64_t capacity_tokens_, bounds_page_tokens_;
  State state_;
};

/// As EvictingCache, for a batch on the device.
template <Storage T>
class BatchEvictingCache : public BatchPagedCache<T> {
 public:
  using BatchPagedCache<T>::BatchPagedCache;

  /// Keeps the tokens of `kept` alone, or all of a head with a count of -1; it was made for the lengths of now.
  Status retain(Cuda exec, TokenIndex const& kept) const { return this->keep(exec, kept); }
};

}  // namespace lacuna

#endif
