#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "lacuna/index/block_index.hpp"
#include "reference/block_sparse.hpp"
#include "support/device.hpp"
#include "support/random.hpp"

namespace support {

/// Random key blocks of every block of queries of a batch, on the device; ids that nobody may read are far outside.
class BatchBlocks {
 public:
  /// Rows keep a share that varies up to `most`; some keep nothing and some everything.
  BatchBlocks(std::vector<reference::Inputs> const& sequences, std::int64_t heads, std::int64_t block_tokens,
              double most, std::uint64_t seed = 1)
      : heads_(heads), block_tokens_(block_tokens) {
    Random random(seed);
    std::int64_t first_query = 0, longest = 0;
    for (std::size_t b = 0; b < sequences.size(); ++b) {
      reference::Inputs const& in = sequences[b];
      first_row_.push_back(lacuna::BlockIndex::first_row(static_cast<std::int64_t>(b), first_query, block_tokens));
      first_block_.push_back(reference::first_query_block(in, block_tokens));
      first_query += in.len_q;
      longest = std::max(longest, in.len_k);
    }
    rows_ = lacuna::BlockIndex::first_row(static_cast<std::int64_t>(sequences.size()), first_query, block_tokens);
    room_ = (longest + block_tokens - 1) / block_tokens;
    kept_.resize(static_cast<std::size_t>(heads * rows_));
    std::vector<std::int32_t> blocks(static_cast<std::size_t>(heads * rows_ * room_), 1 << 28);
    std::vector<std::int32_t> counts(static_cast<std::size_t>(heads * rows_), 1 << 28);
    for (std::size_t b = 0; b < sequences.size(); ++b) {
      if (sequences[b].len_q == 0) continue;
      std::int64_t const end = reference::end_query_block(sequences[b], block_tokens);
      for (std::int64_t head = 0; head < heads; ++head)
        for (std::int64_t m = first_block_[b]; m < end; ++m) {
          double const draw = random.uniform();
          std::size_t const row = static_cast<std::size_t>(head * rows_ + first_row_[b] + m - first_block_[b]);
          kept_[row] = random.subset(m + 1, draw < 0.1 ? 0.0 : draw > 0.95 ? 2.0 : most * random.uniform());
          counts[row] = static_cast<std::int32_t>(kept_[row].size());
          for (std::size_t i = 0; i < kept_[row].size(); ++i)
            blocks[row * static_cast<std::size_t>(room_) + i] = static_cast<std::int32_t>(kept_[row][i]);
        }
    }
    blocks_ = std::make_unique<DeviceArray<std::int32_t>>(blocks);
    counts_ = std::make_unique<DeviceArray<std::int32_t>>(counts);
  }

  lacuna::BlockIndex index() const {
    lacuna::BlockIndex index;
    index.blocks = lacuna::dense_view<std::int32_t, 2>(blocks_->data(), {heads_, rows_ * room_});
    index.counts = lacuna::dense_view<std::int32_t, 2>(counts_->data(), {heads_, rows_});
    index.block_tokens = block_tokens_;
    index.room = room_;
    return index;
  }

  reference::Keys keys(std::size_t sequence, reference::Inputs const& in, std::int64_t head, std::int64_t row) const {
    std::int64_t const at = in.position(row), list = head * heads_ / in.heads_q;
    std::int64_t const r = first_row_[sequence] + at / block_tokens_ - first_block_[sequence];
    return reference::block_keys(kept_[static_cast<std::size_t>(list * rows_ + r)], at, block_tokens_);
  }

 private:
  std::int64_t heads_, block_tokens_, rows_ = 0, room_ = 0;
  std::vector<std::int64_t> first_row_, first_block_;
  std::vector<reference::Units> kept_;
  std::unique_ptr<DeviceArray<std::int32_t>> blocks_, counts_;
};

}  // namespace support
