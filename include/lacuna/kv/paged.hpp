#pragma once

#include <cstddef>
#include <cstring>

#include "lacuna/core/workspace.hpp"
#include "lacuna/kernels/page_bounds.hpp"
#include "lacuna/kv/kv_store.hpp"
#include "lacuna/kv/page_pool.hpp"

namespace lacuna {

/// Pages behind a table, per KV head; keeps everything. With bounds_page_tokens > 0 it also keeps the channel minimum
/// and maximum of the keys of each run of that many tokens, which need not be the pool's page size. clear() gives the
/// pages back; a cache that is merely destroyed does not touch the pool, which may be gone.
template <Storage T>
class PagedCache {
 public:
  static std::size_t bytes(PagePool<T> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv,
                           std::int64_t bounds_page_tokens = 0) {
    Workspace memory;
    (void)Tables(memory, pool, capacity_tokens, heads_kv, bounds_page_tokens);
    return memory.used_bytes();
  }

  /// `memory` holds bytes(...), aligned to Workspace::kAlignment; it and the pool outlive the cache.
  PagedCache(PagePool<T>& pool, void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
             std::int64_t bounds_page_tokens = 0)
      : pool_(&pool), capacity_tokens_(capacity_tokens), heads_kv_(heads_kv), bounds_page_tokens_(bounds_page_tokens) {
    Workspace space(memory, bytes(pool, capacity_tokens, heads_kv, bounds_page_tokens));
    tables_ = Tables(space, pool, capacity_tokens, heads_kv, bounds_page_tokens);
    for (std::int64_t head = 0; head < heads_kv; ++head) tables_.lens(head) = 0;
  }

  PagedCache(PagedCache const&) = delete;  // two caches must not own the same pages
  PagedCache& operator=(PagedCache const&) = delete;

  Status append(Cpu exec, TensorView<T const, 3> k, TensorView<T const, 3> v) {
    if (Status s = detail::check_rows(k, v, heads_kv_, pool_->dim()); !s) return s;
    std::int64_t const tokens = k.extent(0);
    if (Status s = take_pages([&](std::int64_t head) { return length(head) + tokens; }); !s) return s;
    std::size_t const row_bytes = static_cast<std::size_t>(pool_->dim()) * sizeof(T);
    KvView<T> const kv = view();
    exec.for_work(tokens * heads_kv_ * kv.dim).each(heads_kv_, [&](std::int64_t head, int) {
      for (std::int64_t token = 0; token < tokens; ++token) {
        std::int64_t const at = kv.offset(head, length(head) + token);
        std::memcpy(pool_->keys() + at, &k(token, head, 0), row_bytes);
        std::memcpy(pool_->values() + at, &v(token, head, 0), row_bytes);
      }
      tables_.lens(head) += static_cast<std::int32_t>(tokens);
    });
    return update_bounds(exec, tokens);
  }

  KvView<T> view() const {
    KvView<T> kv;
    kv.k = pool_->keys();
    kv.v = pool_->values();
    kv.heads_kv = heads_kv_;
    kv.dim = pool_->dim();
    kv.stride_token = pool_->dim();
    kv.lens = tables_.lens.data;
    for (std::int64_t head = 0; head < heads_kv_; ++head) kv.len = length(head) > kv.len ? length(head) : kv.len;
    kv.page_table = tables_.pages.data;
    kv.table_stride = tables_.pages.stride(0);
    kv.page_tokens = pool_->page_tokens();
    kv.stride_page = pool_->stride_page();
    kv.bounds = tables_.bounds;
    kv.bounds_page_tokens = bounds_page_tokens_;
    return kv;
  }

  template <class Index>
  Status retain(Cpu, Index const&) {
    return {};
  }

  std::int64_t length(std::int64_t head) const { return tables_.lens(head); }

  void clear() {
    for (std::int64_t head = 0; head < heads_kv_; ++head) shrink(head, 0);
  }

 protected:
  /// Pages for every head to hold length_of(head) tokens, not fewer than now; all of them or, with a Status, none.
  template <class LengthOf>
  Status take_pages(LengthOf const& length_of) {
    std::int64_t wanted = 0;
    for (std::int64_t head = 0; head < heads_kv_; ++head) {
      if (length_of(head) > capacity_tokens_)
        return {Errc::out_of_pages, "paged_cache: no room for that many tokens", length_of(head), capacity_tokens_};
      wanted += pages_of(length_of(head)) - pages_of(length(head));
    }
    if (wanted > pool_->free_pages())
      return {Errc::out_of_pages, "paged_cache: the pool has too few free pages", wanted, pool_->free_pages()};
    for (std::int64_t head = 0; head < heads_kv_; ++head)
      for (std::int64_t page = pages_of(length(head)); page < pages_of(length_of(head)); ++page)
        tables_.pages(head, page) = pool_->acquire();
    return {};
  }

  void set_length(std::int64_t head, std::int64_t tokens) { tables_.lens(head) = static_cast<std::int32_t>(tokens); }

  /// Forgets the tokens of a head from `tokens` on, and gives back the pages that are no longer touched.
  void shrink(std::int64_t head, std::int64_t tokens) {
    for (std::int64_t page = pages_of(length(head)); page-- > pages_of(tokens);)
      pool_->release(tables_.pages(head, page));
    tables_.lens(head) = static_cast<std::int32_t>(tokens);
  }

  /// For the last `new_tokens` tokens of each head; with at least as many as it holds, from scratch.
  Status update_bounds(Cpu exec, std::int64_t new_tokens) {
    if (bounds_page_tokens_ == 0) return {};
    return page_bounds<T>(exec, {view(), new_tokens, tables_.bounds, bounds_page_tokens_});
  }

  PagePool<T>& pool() { return *pool_; }

 private:
  struct Tables {
    Tables() = default;
    Tables(Workspace& memory, PagePool<T> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv,
           std::int64_t bounds_page_tokens) {
      pages = memory.take<std::int32_t, 2>({heads_kv, (capacity_tokens + pool.page_tokens() - 1) / pool.page_tokens()});
      lens = memory.take<std::int32_t, 1>({heads_kv});
      if (bounds_page_tokens > 0)
        bounds = memory.take<T, 4>(
            {heads_kv, (capacity_tokens + bounds_page_tokens - 1) / bounds_page_tokens, 2, pool.dim()});
    }
    TensorView<std::int32_t, 2> pages;  // [heads_kv, pages], physical pages
    TensorView<std::int32_t, 1> lens;   // [heads_kv]
    TensorView<T, 4> bounds;            // [heads_kv, pages, 2, dim]
  };

  std::int64_t pages_of(std::int64_t tokens) const {
    return (tokens + pool_->page_tokens() - 1) / pool_->page_tokens();
  }

  PagePool<T>* pool_;
  std::int64_t capacity_tokens_, heads_kv_, bounds_page_tokens_;
  Tables tables_;
};

}  // namespace lacuna
