#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "lacuna/index/vertical_slash_index.hpp"
#include "reference/vertical_slash.hpp"
#include "support/index_case.hpp"
#include "support/random.hpp"

namespace support {

/// A Vertical-Slash index made by hand; owns its memory.
class VerticalSlashCase {
 public:
  VerticalSlashCase(std::vector<reference::Units> vertical, std::vector<reference::Units> slash, std::int64_t len,
                    std::int64_t tile)
      : vertical_(std::move(vertical)), slash_(std::move(slash)), columns_(vertical_), diagonals_(slash_) {
    for (std::size_t head = 0; head < vertical_.size(); ++head) {
      counts_.push_back(static_cast<std::int32_t>(vertical_[head].size()));
      counts_.push_back(static_cast<std::int32_t>(slash_[head].size()));
    }
    index_.columns = columns_.ids();
    index_.diagonals = diagonals_.ids();
    index_.counts =
        lacuna::dense_view<std::int32_t, 2>(counts_.data(), {static_cast<std::int64_t>(vertical_.size()), 2});
    index_.len_q = index_.len_k = len;
    index_.tile = tile;
  }
  VerticalSlashCase(VerticalSlashCase const&) = delete;
  VerticalSlashCase& operator=(VerticalSlashCase const&) = delete;

  lacuna::VerticalSlashIndex& index() { return index_; }

  reference::Keys keys(std::int64_t head, std::int64_t position) const {
    std::size_t const h = static_cast<std::size_t>(head);
    return reference::vertical_slash_keys(vertical_[h], slash_[h], position, index_.tile);
  }

 private:
  std::vector<reference::Units> vertical_;
  std::vector<reference::Units> slash_;
  IdTable columns_;
  IdTable diagonals_;
  std::vector<std::int32_t> counts_;
  lacuna::VerticalSlashIndex index_;
};

/// Kept columns and diagonals of random density, as selection would leave them: offset 0 is always there.
inline reference::Units random_slash(Random& random, std::int64_t len) {
  reference::Units slash = random.subset(len, random.uniform() * 0.3);
  if (slash.empty() || slash[0] != 0) slash.insert(slash.begin(), 0);
  return slash;
}

}  // namespace support
