#pragma once

#include <cstdint>

#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// Keys and values wherever they lie: contiguous, or in pages behind a table; with one length for all heads, or one
/// each. Row `token` of head `head_kv` starts at element `offset(head_kv, token)` of both `k` and `v`; its `dim`
/// elements are adjacent. Never owns.
template <class T>
struct KvView {
  T const* k = nullptr;
  T const* v = nullptr;
  std::int64_t heads_kv = 0;
  std::int64_t dim = 0;
  std::int64_t stride_head = 0;   // elements between the heads of one token (ignored by a table with rows per head)
  std::int64_t stride_token = 0;  // elements between neighbouring tokens of one head (inside a page, if paged)

  /// Null: every head holds `len` tokens. Otherwise head h holds lens[h] (at most `len`).
  std::int64_t len = 0;
  std::int32_t const* lens = nullptr;  // [heads_kv]

  /// Null: token t lies at t * stride_token. Otherwise page_table[h * table_stride + t / page_tokens] is the physical
  /// page.
  std::int32_t const* page_table = nullptr;  // [heads_kv, table_stride]
  std::int64_t table_stride = 0;
  std::int64_t page_tokens = 0;
  std::int64_t stride_page = 0;  // elements between neighbouring physical pages

  /// Per channel minimum (0) and maximum (1) of the keys of each run of `bounds_page_tokens` tokens; empty unless a
  /// store keeps them. The last page is bounded by the keys it has so far. // [heads_kv, pages, 2, dim]
  TensorView<T const, 4> bounds{};
  std::int64_t bounds_page_tokens = 0;

  /// Attention that each held token has received so far; empty unless a store keeps it. The one thing behind a view
  /// that is written to: by the selector that scores by it. // [heads_kv, capacity]
  TensorView<float, 2> mass{};

  /// A copy of the keys in 8 bits, to estimate logits from fewer bytes: channel x of a key is about
  /// key_scales(head, token) * key_codes(head, token, x). Empty unless a store keeps it.
  TensorView<std::int8_t const, 3> key_codes{};  // [heads_kv, capacity, dim], the last axis dense
  TensorView<float const, 2> key_scales{};       // [heads_kv, capacity]

  /// Where each held token stood in its sequence; empty unless a store keeps it. // [heads_kv, capacity]
  TensorView<std::int32_t const, 2> positions{};

  constexpr std::int64_t length(std::int64_t head_kv) const { return lens != nullptr ? lens[head_kv] : len; }

  constexpr std::int64_t offset(std::int64_t head_kv, std::int64_t token) const {
    if (page_table == nullptr) return head_kv * stride_head + token * stride_token;
    std::int64_t const page = page_table[head_kv * table_stride + token / page_tokens];
    return page * stride_page + head_kv * stride_head + token % page_tokens * stride_token;
  }
};

}  // namespace lacuna
