#pragma once

#include <algorithm>
#include <cstddef>

#include "lacuna/core/codes.hpp"
#include "lacuna/core/dtype.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/page_index.hpp"
#include "lacuna/kv/page_tables.hpp"

namespace lacuna {

/// Keys and values as 8-bit codes in pages behind a table, with a scale per head for each, and the bounds of every run
/// of `bounds_page_tokens` tokens, which need not be the pool's page size; keeps everything. What is read is decoded
/// when it has been picked: page_view() serves to pick pages as large as those runs, load() to attend. The scales are
/// the caller's, from calibration: what exceeds them is clamped.
template <Storage T, Code C = std::int8_t>
class QuantisedCache : private PageTables<C> {
  using Base = PageTables<C>;

 public:
  using Base::clear, Base::length;

  static std::size_t bytes(PagePool<C> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv,
                           std::int64_t bounds_page_tokens) {
    Workspace memory;
    (void)typename Base::Tables(pool, capacity_tokens, heads_kv, memory);
    (void)Beside(memory, capacity_tokens, heads_kv, pool.dim(), bounds_page_tokens);
    return memory.used_bytes();
  }

  /// `memory` holds bytes(...), aligned to Workspace::kAlignment; it, the pool and the scales, [heads_kv] each, outlive
  /// the cache.
  QuantisedCache(PagePool<C>& pool, void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
                 std::int64_t bounds_page_tokens, TensorView<float const, 1> k_scales,
                 TensorView<float const, 1> v_scales)
      : QuantisedCache(pool, Workspace(memory, bytes(pool, capacity_tokens, heads_kv, bounds_page_tokens)),
                       capacity_tokens, heads_kv, bounds_page_tokens, k_scales, v_scales) {}

  Status append(Cpu exec, TensorView<T const, 3> k, TensorView<T const, 3> v) {
    std::int64_t const heads = this->heads_kv(), dim = this->pool().dim(), tokens = k.extent(0);
    if (Status s = detail::check_rows(k, v, heads, dim); !s) return s;
    for (std::int64_t head = 0; head < heads; ++head)
      if (!(k_scales_(head) > 0.0F && v_scales_(head) > 0.0F))
        return Status::invalid("quantised_cache: every scale must be positive", head, heads);
    if (Status s = this->take_pages([&](std::int64_t head) { return length(head) + tokens; }); !s) return s;
    KvView<C> const places = this->template places<C>();
    exec.for_work(tokens * heads * dim * 8).each(heads, [&](std::int64_t head, int) {
      for (std::int64_t token = 0; token < tokens; ++token) {
        std::int64_t const at = places.offset(head, length(head) + token);
        encode_row(&k(token, head, 0), k_scales_(head), this->pool().keys() + at);
        encode_row(&v(token, head, 0), v_scales_(head), this->pool().values() + at);
        bound(head, length(head) + token, this->pool().keys() + at);
      }
      this->set_length(head, length(head) + tokens);
    });
    return {};
  }

  /// For picking pages by their bounds. Every key and value reads as zeros: attend over what load() gives instead.
  KvView<T> page_view() const {
    KvView<T> kv;
    kv.k = kv.v = beside_.nothing;
    kv.heads_kv = this->heads_kv();
    kv.dim = this->pool().dim();
    kv.len = length();
    kv.bounds = beside_.bounds;
    kv.bounds_page_tokens = page_tokens_;
    return kv;
  }

  /// What load() takes from memory, for an index with room for `capacity` pages in each of `rows` rows.
  static void reserve_load(Shape const& shape, std::int64_t rows, std::int64_t capacity, std::int64_t page_tokens,
                           Workspace& memory) {
    (void)Loaded(memory, shape, rows, capacity, page_tokens);
  }

  /// The picked pages, decoded and rounded to T, in `memory`; no other page may be read. For the lengths of now.
  Expected<KvView<T>> load(Cpu exec, PageIndex const& index, Workspace& memory) const {
    std::int64_t const heads = this->heads_kv(), dim = this->pool().dim(), len = length(), rows = index.rows();
    if (index.page_tokens != page_tokens_)
      return Status::invalid("quantised_cache: the index has another page size", index.page_tokens, page_tokens_);
    if (Status s = index.check({1, len, rows, heads, dim}); !s) return s;
    for (std::int64_t row = 0; row < rows; ++row)
      if (index.lens(row) != len)
        return Status::invalid("quantised_cache: the index was made for another length", index.lens(row), len);
    Loaded const loaded(memory, {1, len, rows, heads, dim}, rows, index.pages.extent(1), page_tokens_);
    if (Status s = memory.check("quantised_cache: the workspace is smaller than planned"); !s) return s;
    std::int64_t const rows_per_head = rows / heads, slots = rows_per_head * index.pages.extent(1);
    std::int64_t const page_elements = page_tokens_ * dim;
    KvView<C> const places = this->template places<C>();
    exec.for_work(heads * slots * page_elements * 4).each(heads, [&](std::int64_t head, int) {
      std::int32_t* const table = loaded.table.slice(head);
      std::fill_n(table, loaded.table.extent(1), -1);
      std::int64_t slot = head * slots;
      for (std::int64_t row = head * rows_per_head; row < (head + 1) * rows_per_head; ++row)
        for (std::int64_t i = 0; i < index.counts(row); ++i) {
          std::int64_t const page = index.pages(row, i);
          if (table[page] >= 0) continue;  // another query head of the group picked it
          std::int64_t const first = page * page_tokens_;
          for (std::int64_t token = first; token < std::min(first + page_tokens_, len); ++token) {
            std::int64_t const from = places.offset(head, token), to = slot * page_elements + (token - first) * dim;
            decode_row(this->pool().keys() + from, k_scales_(head), dim, loaded.k + to);
            decode_row(this->pool().values() + from, v_scales_(head), dim, loaded.v + to);
          }
          table[page] = static_cast<std::int32_t>(slot++);
        }
    });
    KvView<T> kv = page_view();
    kv.k = loaded.k;
    kv.v = loaded.v;
    kv.stride_token = dim;
    kv.page_table = loaded.table.data;
    kv.table_stride = loaded.table.stride(0);
    kv.page_tokens = page_tokens_;
    kv.stride_page = page_elements;
    return kv;
  }

 private:
  struct Beside {
    Beside(Workspace& memory, std::int64_t capacity, std::int64_t heads, std::int64_t dim, std::int64_t page_tokens)
        : bounds(memory.take<T, 4>({heads, (capacity + page_tokens - 1) / page_tokens, 2, dim})),
          nothing(memory.take<T>(dim)) {}
    TensorView<T, 4> bounds;  // [heads_kv, pages, 2, dim], of the decoded keys
    T* nothing;               // [dim]
  };

  QuantisedCache(PagePool<C>& pool, Workspace memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
                 std::int64_t bounds_page_tokens, TensorView<float const, 1> k_scales,
                 TensorView<float const, 1> v_scales)
      : Base(pool, capacity_tokens, heads_kv, memory),
        page_tokens_(bounds_page_tokens),
        k_scales_(k_scales),
        v_scales_(v_scales),
        beside_(memory, capacity_tokens, heads_kv, pool.dim(), bounds_page_tokens) {
    std::fill_n(beside_.nothing, pool.dim(), from_float<T>(0.0F));
  }

  struct Loaded {
    Loaded(Workspace& memory, Shape const& shape, std::int64_t rows, std::int64_t capacity, std::int64_t page_tokens)
        : table(memory.take<std::int32_t, 2>({shape.heads_kv, (shape.len_k + page_tokens - 1) / page_tokens})),
          k(memory.take<T>(rows * capacity * page_tokens * shape.dim)),
          v(memory.take<T>(rows * capacity * page_tokens * shape.dim)) {}
    TensorView<std::int32_t, 2> table;  // [heads_kv, pages]
    T *k, *v;                           // [slots, page_tokens, dim]
  };

  void encode_row(T const* row, float scale, C* codes) const {
    for (std::int64_t x = 0; x < this->pool().dim(); ++x) codes[x] = encode<C>(to_float(row[x]) / scale);
  }

  static void decode_row(C const* codes, float scale, std::int64_t elements, T* out) {
    for (std::int64_t x = 0; x < elements; ++x) out[x] = from_float<T>(scale * decode(codes[x]));
  }

  /// Bounds are those of the numbers that attention will read.
  void bound(std::int64_t head, std::int64_t token, C const* key) {
    T* const low = &beside_.bounds(head, token / page_tokens_, 0, 0);
    T* const high = &beside_.bounds(head, token / page_tokens_, 1, 0);
    for (std::int64_t x = 0; x < this->pool().dim(); ++x) {
      T const stored = from_float<T>(k_scales_(head) * decode(key[x]));
      float const value = to_float(stored);
      bool const fresh = token % page_tokens_ == 0 || value != value;  // a NaN once stored stays
      if (fresh || value < to_float(low[x])) low[x] = stored;
      if (fresh || value > to_float(high[x])) high[x] = stored;
    }
  }

  std::int64_t page_tokens_;
  TensorView<float const, 1> k_scales_, v_scales_;  // [heads_kv]
  Beside beside_;
};

}  // namespace lacuna
