#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lacuna/core/tensor_view.hpp"
#include "reference/ranking.hpp"

namespace support {

/// Memory for a table of ids with one ragged row per head, -1 where nothing is meant.
class IdTable {
 public:
  explicit IdTable(std::vector<reference::Units> const& rows, std::int64_t spare = 3) {
    for (auto const& row : rows) capacity_ = std::max(capacity_, static_cast<std::int64_t>(row.size()));
    capacity_ += spare;
    ids_.assign(rows.size() * static_cast<std::size_t>(capacity_), -1);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      counts_.push_back(static_cast<std::int32_t>(rows[r].size()));
      for (std::size_t c = 0; c < rows[r].size(); ++c)
        ids_[r * static_cast<std::size_t>(capacity_) + c] = static_cast<std::int32_t>(rows[r][c]);
    }
  }

  lacuna::TensorView<std::int32_t, 2> ids() {
    return lacuna::dense_view<std::int32_t, 2>(ids_.data(), {static_cast<std::int64_t>(counts_.size()), capacity_});
  }
  lacuna::TensorView<std::int32_t, 1> counts() {
    return lacuna::dense_view<std::int32_t, 1>(counts_.data(), {static_cast<std::int64_t>(counts_.size())});
  }

 private:
  std::int64_t capacity_ = 0;
  std::vector<std::int32_t> ids_;
  std::vector<std::int32_t> counts_;
};

/// One kept row of an index as the oracle writes it.
template <class Ids>
reference::Units units_of(Ids const& ids, std::int64_t row, std::int64_t count) {
  reference::Units units;
  for (std::int64_t c = 0; c < count; ++c) units.push_back(ids(row, c));
  return units;
}

}  // namespace support
