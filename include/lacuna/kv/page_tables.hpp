#pragma once

#include <algorithm>
#include <cstddef>

#include "lacuna/core/kv_view.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/kv/kv_store.hpp"
#include "lacuna/kv/page_pool.hpp"

namespace lacuna {

/// Which pages of a pool each KV head holds, and how many tokens: what every cache of pages is built on. clear() gives
/// the pages back; a cache that is merely destroyed does not touch the pool, which may be gone.
template <class E>
class PageTables {
 public:
  std::int64_t length(std::int64_t head = 0) const { return tables_.lens(head); }

  void clear() {
    for (std::int64_t head = 0; head < heads_kv_; ++head) shrink(head, 0);
  }

  PageTables(PageTables const&) = delete;  // two caches must not own the same pages
  PageTables& operator=(PageTables const&) = delete;

 protected:
  struct Tables {
    Tables(PagePool<E> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv, Workspace& memory)
        : pages(memory.take<std::int32_t, 2>(
              {heads_kv, (capacity_tokens + pool.page_tokens() - 1) / pool.page_tokens()})),
          lens(memory.take<std::int32_t, 1>({heads_kv})) {}
    TensorView<std::int32_t, 2> pages;  // [heads_kv, pages], physical pages
    TensorView<std::int32_t, 1> lens;   // [heads_kv]
  };

  PageTables(PagePool<E>& pool, std::int64_t capacity_tokens, std::int64_t heads_kv, Workspace& memory)
      : pool_(&pool),
        capacity_tokens_(capacity_tokens),
        heads_kv_(heads_kv),
        tables_(pool, capacity_tokens, heads_kv, memory) {
    for (std::int64_t head = 0; head < heads_kv; ++head) set_length(head, 0);
  }

  /// Lengths, and where the rows of each head lie from the start of a page's keys, or of its values.
  template <class T>
  KvView<T> places() const {
    KvView<T> kv;
    kv.heads_kv = heads_kv_;
    kv.dim = pool_->dim();
    kv.stride_token = pool_->dim();
    kv.lens = tables_.lens.data;
    for (std::int64_t head = 0; head < heads_kv_; ++head) kv.len = std::max(kv.len, length(head));
    kv.page_table = tables_.pages.data;
    kv.table_stride = tables_.pages.stride(0);
    kv.page_tokens = pool_->page_tokens();
    kv.stride_page = pool_->stride_page();
    return kv;
  }

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
    set_length(head, tokens);
  }

  PagePool<E>& pool() const { return *pool_; }
  std::int64_t heads_kv() const { return heads_kv_; }

 private:
  std::int64_t pages_of(std::int64_t tokens) const {
    return (tokens + pool_->page_tokens() - 1) / pool_->page_tokens();
  }

  PagePool<E>* pool_;
  std::int64_t capacity_tokens_, heads_kv_;
  Tables tables_;
};

}  // namespace lacuna
