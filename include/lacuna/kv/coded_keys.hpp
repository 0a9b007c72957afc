#pragma once

#include <algorithm>
#include <cmath>

#include "lacuna/core/codes.hpp"
#include "lacuna/kv/paged.hpp"

namespace lacuna {

/// As PagedCache, and a copy of the keys as 8-bit codes with a scale for each key: a quarter of the bytes of keys and
/// values in 16 bits, from which logits can be estimated (Twilight, arXiv 2502.02770, where the copy has 4 bits and a
/// scale per head).
template <Storage T>
class CodedKeysCache : private PagedCache<T> {
  using Base = PagedCache<T>;

 public:
  using Base::clear, Base::length, Base::retain;

  static std::size_t bytes(PagePool<T> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv,
                           std::int64_t bounds_page_tokens = 0) {
    Workspace memory;
    (void)Codes(memory, capacity_tokens, heads_kv, pool.dim());
    memory.take<std::byte>(static_cast<std::int64_t>(Base::bytes(pool, capacity_tokens, heads_kv, bounds_page_tokens)));
    return memory.used_bytes();
  }

  /// `memory` holds bytes(...), aligned to Workspace::kAlignment; it and the pool outlive the cache.
  CodedKeysCache(PagePool<T>& pool, void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
                 std::int64_t bounds_page_tokens = 0)
      : CodedKeysCache(pool, Workspace(memory, bytes(pool, capacity_tokens, heads_kv, bounds_page_tokens)),
                       capacity_tokens, heads_kv, bounds_page_tokens) {}

  Status append(Cpu exec, TensorView<T const, 3> k, TensorView<T const, 3> v) {
    if (Status s = Base::append(exec, k, v); !s) return s;
    exec.for_work(k.count() * 4).each(k.extent(1), [&](std::int64_t head, int) {
      for (std::int64_t token = 0; token < k.extent(0); ++token)
        encode_key(&k(token, head, 0), head, length(head) - k.extent(0) + token);
    });
    return {};
  }

  KvView<T> view() const {
    KvView<T> kv = Base::view();
    kv.key_codes = codes_.keys;
    kv.key_scales = codes_.scales;
    return kv;
  }

 private:
  struct Codes {
    Codes(Workspace& memory, std::int64_t capacity, std::int64_t heads, std::int64_t dim)
        : keys(memory.take<std::int8_t, 3>({heads, capacity, dim})), scales(memory.take<float, 2>({heads, capacity})) {}
    TensorView<std::int8_t, 3> keys;  // [heads_kv, capacity, dim]
    TensorView<float, 2> scales;      // [heads_kv, capacity]
  };

  CodedKeysCache(PagePool<T>& pool, Workspace memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
                 std::int64_t bounds_page_tokens)
      : CodedKeysCache(pool, Codes(memory, capacity_tokens, heads_kv, pool.dim()), memory, capacity_tokens, heads_kv,
                       bounds_page_tokens) {}
  // `memory` by reference: the codes are carved from it first, in whatever order arguments are made.
  CodedKeysCache(PagePool<T>& pool, Codes const& codes, Workspace& memory, std::int64_t capacity_tokens,
                 std::int64_t heads_kv, std::int64_t bounds_page_tokens)
      : Base(pool,
             memory.take<std::byte>(
                 static_cast<std::int64_t>(Base::bytes(pool, capacity_tokens, heads_kv, bounds_page_tokens))),
             capacity_tokens, heads_kv, bounds_page_tokens),
        codes_(codes) {}

  /// A key with a channel that is not finite gets a scale that is not finite either, so that its estimate is none.
  void encode_key(T const* key, std::int64_t head, std::int64_t token) {
    std::int64_t const dim = codes_.keys.extent(2);
    float largest = 0.0F;
    for (std::int64_t x = 0; x < dim; ++x) {
      float const magnitude = std::abs(to_float(key[x]));
      if (magnitude > largest || magnitude != magnitude) largest = magnitude;  // a NaN stays
    }
    float const scale = largest / kLargestCode<std::int8_t>;
    codes_.scales(head, token) = scale;
    std::int8_t* const codes = &codes_.keys(head, token, 0);
    for (std::int64_t x = 0; x < dim; ++x)
      codes[x] = scale > 0.0F ? encode<std::int8_t>(to_float(key[x]) / scale) : std::int8_t{0};
  }

  Codes codes_;
};

}  // namespace lacuna
