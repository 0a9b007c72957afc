#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "lacuna/index/page_index.hpp"
#include "reference/quest.hpp"
#include "support/index_case.hpp"
#include "support/random.hpp"

namespace support {

/// A page index made by hand; owns its memory. Rows beyond the KV heads are query heads.
class PageCase {
 public:
  PageCase(std::vector<reference::Units> pages, std::int64_t len, std::int64_t page_tokens)
      : pages_(std::move(pages)), table_(pages_), lens_(pages_.size(), static_cast<std::int32_t>(len)) {
    index_.pages = table_.ids();
    index_.counts = table_.counts();
    index_.lens = lacuna::dense_view<std::int32_t, 1>(lens_.data(), {static_cast<std::int64_t>(lens_.size())});
    index_.page_tokens = page_tokens;
  }
  PageCase(PageCase const&) = delete;
  PageCase& operator=(PageCase const&) = delete;

  lacuna::PageIndex& index() { return index_; }

  reference::Keys keys(std::int64_t row, std::int64_t len) const {
    return reference::page_keys(pages_[static_cast<std::size_t>(row)], index_.page_tokens, len);
  }

 private:
  std::vector<reference::Units> pages_;
  IdTable table_;
  std::vector<std::int32_t> lens_;
  lacuna::PageIndex index_;
};

/// Some pages before the current one, and the current one.
inline std::vector<reference::Units> random_pages(std::int64_t rows, std::int64_t len, std::int64_t page_tokens,
                                                  std::uint64_t seed) {
  Random random(seed);
  std::vector<reference::Units> pages;
  for (std::int64_t row = 0; row < rows; ++row) {
    pages.push_back(random.subset(reference::current_page(len, page_tokens), random.uniform()));
    pages.back().push_back(reference::current_page(len, page_tokens));
  }
  return pages;
}

}  // namespace support
