#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lacuna/core/codes.hpp"
#include "lacuna/core/dtype.hpp"

namespace lacuna {

/// Pages of the caller's memory, handed out and taken back one at a time in constant time. A page holds the keys and
/// then the values of `page_tokens` tokens of one KV head. // [pages, 2, page_tokens, dim] Several caches may share a
/// pool; calls from several threads at once are not allowed.
template <class T>
  requires(Storage<T> || Code<T>)
class PagePool {
 public:
  static constexpr std::size_t bytes(std::int64_t pages, std::int64_t page_tokens, std::int64_t dim) {
    return static_cast<std::size_t>(pages * page_elements(page_tokens, dim)) * sizeof(T);
  }

  /// `memory` holds bytes(...) and outlives the pool.
  PagePool(void* memory, std::int64_t pages, std::int64_t page_tokens, std::int64_t dim)
      : data_(static_cast<T*>(memory)), pages_(pages), page_tokens_(page_tokens), dim_(dim), free_(pages) {}

  std::int64_t page_tokens() const { return page_tokens_; }
  std::int64_t dim() const { return dim_; }
  std::int64_t pages() const { return pages_; }
  std::int64_t free_pages() const { return free_; }
  std::int64_t stride_page() const { return page_elements(page_tokens_, dim_); }
  T* keys() const { return data_; }
  T* values() const { return data_ + page_tokens_ * dim_; }

  /// A page of undefined content. At least one must be free.
  std::int32_t acquire() {
    --free_;
    if (returned_ == kNone) return static_cast<std::int32_t>(untouched_++);
    std::int32_t const page = returned_;
    std::memcpy(&returned_, data_ + page * stride_page(), sizeof returned_);
    return page;
  }

  /// `page` came from acquire() and is no longer read.
  void release(std::int32_t page) {
    std::memcpy(data_ + page * stride_page(), &returned_,
                sizeof returned_);  // a free page's first bytes name the next one
    returned_ = page;
    ++free_;
  }

 private:
  static constexpr std::int32_t kNone = -1;
  /// At least the 4 bytes that a free page needs.
  static constexpr std::int64_t page_elements(std::int64_t page_tokens, std::int64_t dim) {
    return std::max<std::int64_t>(2 * page_tokens * dim, sizeof(std::int32_t) / sizeof(T));
  }

  T* data_;
  std::int64_t pages_, page_tokens_, dim_;
  std::int64_t free_;
  std::int64_t untouched_ = 0;
  std::int32_t returned_ = kNone;
};

}  // namespace lacuna
