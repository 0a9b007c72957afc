#pragma once

#include <cstddef>
#include <cstring>

#include "lacuna/core/dtype.hpp"
#include "lacuna/kv/kv_store.hpp"

namespace lacuna {

/// Keys and values as they came, each head's tokens in one run, in the caller's memory. // [heads_kv, capacity, dim],
/// twice
template <Storage T>
class ContiguousCache {
 public:
  static constexpr std::size_t bytes(std::int64_t capacity_tokens, std::int64_t heads_kv, std::int64_t dim) {
    return static_cast<std::size_t>(2 * capacity_tokens * heads_kv * dim) * sizeof(T);
  }

  /// `memory` holds bytes(...) and outlives the cache.
  ContiguousCache(void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv, std::int64_t dim)
      : k_(static_cast<T*>(memory)),
        v_(k_ + capacity_tokens * heads_kv * dim),
        capacity_tokens_(capacity_tokens),
        heads_kv_(heads_kv),
        dim_(dim) {}

  Status append(Cpu exec, TensorView<T const, 3> k, TensorView<T const, 3> v) {
    if (Status s = detail::check_rows(k, v, heads_kv_, dim_); !s) return s;
    std::int64_t const tokens = k.extent(0);
    if (len_ + tokens > capacity_tokens_)
      return {Errc::out_of_pages, "contiguous_cache: no room for that many tokens", len_ + tokens, capacity_tokens_};
    exec.for_work(tokens * heads_kv_ * dim_).each(heads_kv_, [&](std::int64_t head, int) {
      std::int64_t at = (head * capacity_tokens_ + len_) * dim_;
      for (std::int64_t token = 0; token < tokens; ++token, at += dim_) {
        std::memcpy(k_ + at, &k(token, head, 0), static_cast<std::size_t>(dim_) * sizeof(T));
        std::memcpy(v_ + at, &v(token, head, 0), static_cast<std::size_t>(dim_) * sizeof(T));
      }
    });
    len_ += tokens;
    return {};
  }

  KvView<T> view() const {
    KvView<T> kv;
    kv.k = k_;
    kv.v = v_;
    kv.heads_kv = heads_kv_;
    kv.dim = dim_;
    kv.stride_head = capacity_tokens_ * dim_;
    kv.stride_token = dim_;
    kv.len = len_;
    return kv;
  }

  template <class Index>
  Status retain(Cpu, Index const&) {
    return {};
  }

  std::int64_t length(std::int64_t = 0) const { return len_; }
  void clear() { len_ = 0; }

 private:
  T *k_, *v_;
  std::int64_t capacity_tokens_, heads_kv_, dim_;
  std::int64_t len_ = 0;
};

}  // namespace lacuna
