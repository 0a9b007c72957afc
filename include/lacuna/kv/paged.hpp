#pragma once

#include <cstddef>
#include <cstring>

#include "lacuna/kernels/page_bounds.hpp"
#include "lacuna/kv/batch_paged.hpp"
#include "lacuna/kv/page_tables.hpp"

namespace lacuna {

/// Pages behind a table, per KV head; keeps everything. With bounds_page_tokens > 0 it also keeps the channel minimum
/// and maximum of the keys of each run of that many tokens, which need not be the pool's page size.
template <Storage T>
class PagedCache : private PageTables<T> {
  using Base = PageTables<T>;

 public:
  using Base::clear, Base::length;
#if LACUNA_CUDA
  using Batch = BatchPagedCache<T>;
#endif

  static std::size_t bytes(PagePool<T> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv,
                           std::int64_t bounds_page_tokens = 0) {
    Workspace memory;
    (void)typename Base::Tables(pool, capacity_tokens, heads_kv, memory);
    (void)take_bounds(pool, capacity_tokens, heads_kv, bounds_page_tokens, memory);
    return memory.used_bytes();
  }

  /// `memory` holds bytes(...), aligned to Workspace::kAlignment; it and the pool outlive the cache.
  PagedCache(PagePool<T>& pool, void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
             std::int64_t bounds_page_tokens = 0)
      : PagedCache(pool, Workspace(memory, bytes(pool, capacity_tokens, heads_kv, bounds_page_tokens)), capacity_tokens,
                   heads_kv, bounds_page_tokens) {}

  Status append(Cpu exec, TensorView<T const, 3> k, TensorView<T const, 3> v) {
    if (Status s = detail::check_rows(k, v, this->heads_kv(), this->pool().dim()); !s) return s;
    std::int64_t const tokens = k.extent(0);
    if (Status s = this->take_pages([&](std::int64_t head) { return length(head) + tokens; }); !s) return s;
    std::size_t const row_bytes = static_cast<std::size_t>(this->pool().dim()) * sizeof(T);
    KvView<T> const kv = view();
    exec.for_work(tokens * kv.heads_kv * kv.dim).each(kv.heads_kv, [&](std::int64_t head, int) {
      for (std::int64_t token = 0; token < tokens; ++token) {
        std::int64_t const at = kv.offset(head, length(head) + token);
        std::memcpy(this->pool().keys() + at, &k(token, head, 0), row_bytes);
        std::memcpy(this->pool().values() + at, &v(token, head, 0), row_bytes);
      }
      this->set_length(head, length(head) + tokens);
    });
    return update_bounds(exec, tokens);
  }

  KvView<T> view() const {
    KvView<T> kv = this->template places<T>();
    kv.k = this->pool().keys();
    kv.v = this->pool().values();
    kv.bounds = bounds_;
    kv.bounds_page_tokens = bounds_page_tokens_;
    return kv;
  }

  template <class Index>
  Status retain(Cpu, Index const&) {
    return {};
  }

 protected:
  using Base::pool, Base::set_length, Base::shrink, Base::take_pages;

  /// For the last `new_tokens` tokens of each head; with at least as many as it holds, from scratch.
  Status update_bounds(Cpu exec, std::int64_t new_tokens) {
    if (bounds_page_tokens_ == 0) return {};
    return page_bounds<T>(exec, {view(), new_tokens, bounds_, bounds_page_tokens_});
  }

 private:
  PagedCache(PagePool<T>& pool, Workspace memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
             std::int64_t bounds_page_tokens)
      : Base(pool, capacity_tokens, heads_kv, memory),
        bounds_page_tokens_(bounds_page_tokens),
        bounds_(take_bounds(pool, capacity_tokens, heads_kv, bounds_page_tokens, memory)) {}

  static TensorView<T, 4> take_bounds(PagePool<T> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv,
                                      std::int64_t page_tokens, Workspace& memory) {
    if (page_tokens == 0) return {};
    return memory.take<T, 4>({heads_kv, (capacity_tokens + page_tokens - 1) / page_tokens, 2, pool.dim()});
  }

  std::int64_t bounds_page_tokens_;
  TensorView<T, 4> bounds_;  // [heads_kv, pages, 2, dim]
};

}  // namespace lacuna
