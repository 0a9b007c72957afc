#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lacuna/core/exec.hpp"
#include "lacuna/kv/page_pool.hpp"
#include "reference/inputs.hpp"
#include "support/memory.hpp"
#include "support/problem_case.hpp"

namespace support {

/// The queries [first, last) of a longer sequence, with its first `len_k` keys and values.
inline reference::Inputs rows_of(reference::Inputs const& in, std::int64_t first, std::int64_t last,
                                 std::int64_t len_k) {
  auto slice = [](std::vector<double> const& from, std::int64_t begin, std::int64_t end) {
    return std::vector<double>(from.begin() + begin, from.begin() + end);
  };
  std::int64_t const q_row = in.heads_q * in.dim, k_row = in.heads_kv * in.dim;
  return {last - first,
          len_k,
          in.heads_q,
          in.heads_kv,
          in.dim,
          slice(in.q, first * q_row, last * q_row),
          slice(in.k, 0, len_k * k_row),
          slice(in.v, 0, len_k * k_row)};
}

/// Tokens [first, last) in storage type, heads first and padded, as a caller may hand them to a cache.
template <class T>
class RowsCase {
 public:
  RowsCase(reference::Inputs const& in, std::int64_t first, std::int64_t last) {
    std::int64_t const tokens = last - first, row = in.dim + 3;
    k_.assign(static_cast<std::size_t>(tokens * in.heads_kv * row + 1), poison<T>());
    v_ = k_;
    view_ = {nullptr, {tokens, in.heads_kv, in.dim}, {row, row * tokens, 1}};
    for (std::int64_t j = 0; j < tokens; ++j) {
      for (std::int64_t h = 0; h < in.heads_kv; ++h) {
        for (std::int64_t x = 0; x < in.dim; ++x) {
          std::size_t const at = static_cast<std::size_t>(j * row + h * row * tokens + x);
          k_[at] = stored<T>(in.key(first + j, h)[x]);
          v_[at] = stored<T>(in.value(first + j, h)[x]);
        }
      }
    }
  }
  lacuna::TensorView<T const, 3> k() const { return {k_.data(), view_.extents, view_.strides}; }
  lacuna::TensorView<T const, 3> v() const { return {v_.data(), view_.extents, view_.strides}; }

 private:
  std::vector<T> k_, v_;
  lacuna::TensorView<T const, 3> view_;
};

/// A paged or evicting cache over guarded memory, with a pool of its own.
template <class T, template <class> class Cache>
class CacheCase {
 public:
  CacheCase(std::int64_t heads_kv, std::int64_t dim, std::int64_t capacity, std::int64_t page_tokens,
            std::int64_t bounds_page_tokens, std::int64_t pool_pages = 0)
      : pages_(pool_pages > 0 ? pool_pages : heads_kv * ((capacity + page_tokens - 1) / page_tokens)),
        pool_memory_(lacuna::PagePool<T>::bytes(pages_, page_tokens, dim)),
        pool_(pool_memory_.data(), pages_, page_tokens, dim),
        cache_memory_(Cache<T>::bytes(pool_, capacity, heads_kv, bounds_page_tokens)),
        cache_(pool_, cache_memory_.data(), capacity, heads_kv, bounds_page_tokens) {}

  Cache<T>& store() { return cache_; }
  lacuna::PagePool<T>& pool() { return pool_; }
  lacuna::PagePool<T> const& pool() const { return pool_; }

  /// Empty, or why these tokens could not be appended.
  std::string append(reference::Inputs const& in, std::int64_t first, std::int64_t last, lacuna::Cpu exec = {}) {
    RowsCase<T> const rows(in, first, last);
    return cache_.append(exec, rows.k(), rows.v()).message;
  }
  bool guards_untouched() const { return pool_memory_.guards_untouched() && cache_memory_.guards_untouched(); }

 private:
  std::int64_t pages_;
  GuardedMemory pool_memory_;
  lacuna::PagePool<T> pool_;
  GuardedMemory cache_memory_;
  Cache<T> cache_;
};

/// Empty when head `head` of a view holds exactly these tokens of `in`, in this order.
template <class T>
std::string explain_tokens(lacuna::KvView<T> const& kv, std::int64_t head, reference::Inputs const& in,
                           std::vector<std::int64_t> const& tokens) {
  if (kv.length(head) != static_cast<std::int64_t>(tokens.size()))
    return "holds " + std::to_string(kv.length(head)) + " tokens";
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    for (std::int64_t x = 0; x < in.dim; ++x) {
      std::int64_t const at = kv.offset(head, static_cast<std::int64_t>(t)) + x;
      bool const right = same_bits(kv.k[at], stored<T>(in.key(tokens[t], head)[x])) &&
                         same_bits(kv.v[at], stored<T>(in.value(tokens[t], head)[x]));
      if (!right) return "token " + std::to_string(t) + " is not token " + std::to_string(tokens[t]) + " of the input";
    }
  }
  return "";
}

}  // namespace support
