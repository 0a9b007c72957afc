#pragma once

#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/index/block_index.hpp"

namespace lacuna::cuda {

/// What a kernel needs to know of a batch to find the rows of its BlockIndex.
struct BlockRows {
  std::int32_t const* cu_len_q;
  std::int32_t const* lens;
  std::int64_t lens_stride_sequence;
  std::int32_t batch, max_len_q, block_tokens;
  std::int32_t window_tokens;  // all of them where there is no window

  template <class T>
  BlockRows(BatchProblem<T> const& p, std::int64_t block_tokens)
      : cu_len_q(p.cu_len_q),
        lens(p.kv.lens.data),
        lens_stride_sequence(p.kv.lens.stride(0)),
        batch(static_cast<std::int32_t>(p.batch)),
        max_len_q(static_cast<std::int32_t>(p.max_len_q)),
        block_tokens(static_cast<std::int32_t>(block_tokens)),
        window_tokens(p.window_tokens == 0 || p.window_tokens > p.max_len_k
                          ? INT32_MAX
                          : static_cast<std::int32_t>(p.window_tokens)) {}

  /// A row of query blocks: which block of which sequence it is. Nothing is known of a row that is not there.
  struct Row {
    bool there;
    std::int32_t sequence;
    std::int32_t block;
    std::int32_t len_q, len_k;
    std::int32_t oldest;  // the first key block that any query of the row sees

    __device__ std::int32_t candidates() const { return block + 1; }
  };

  __device__ std::int32_t first_query(std::int32_t sequence) const {
    return cu_len_q != nullptr ? cu_len_q[sequence] : sequence * max_len_q;
  }
  __device__ std::int32_t first_row(std::int32_t sequence) const {
    return static_cast<std::int32_t>(BlockIndex::first_row(sequence, first_query(sequence), block_tokens));
  }
  __device__ Row find(std::int32_t slot) const {
    std::int32_t low = 0, high = batch;  // the last sequence that begins at or before the slot
    while (high - low > 1) {
      std::int32_t const middle = (low + high) / 2;
      (first_row(middle) <= slot ? low : high) = middle;
    }
    Row row{false, low, 0, 0, 0, 0};
    if (slot < 0 || batch == 0) return row;
    row.len_q = first_query(low + 1) - first_query(low);
    row.len_k = lens[low * lens_stride_sequence];
    std::int32_t const first_position = row.len_k - row.len_q;
    row.block = first_position / block_tokens + slot - first_row(low);
    row.there = row.len_q > 0 && row.block <= (row.len_k - 1) / block_tokens;
    std::int32_t const position = max(row.block * block_tokens, first_position);
    row.oldest = position < window_tokens ? 0 : (position + 1 - window_tokens) / block_tokens;
    return row;
  }
};

/// Rows of 16-bit elements that are read 16 bytes at a time.
template <class T>
Status check_aligned(BatchProblem<T> const& p, char const* sentence) {
  std::int64_t const strides = p.q.stride(0) | p.q.stride(1) | p.kv.stride_head | p.kv.stride_token | p.kv.stride_page;
  auto const addresses = reinterpret_cast<std::uintptr_t>(p.q.data) | reinterpret_cast<std::uintptr_t>(p.kv.k);
  if (strides % 8 != 0 || addresses % 16 != 0) return Status::invalid(sentence, strides % 8, 0);
  return {};
}

}  // namespace lacuna::cuda
