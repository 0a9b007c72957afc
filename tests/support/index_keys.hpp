#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/index/band_index.hpp"
#include "lacuna/index/dense_index.hpp"
#include "lacuna/index/page_index.hpp"
#include "lacuna/index/token_index.hpp"
#include "lacuna/index/vertical_slash_index.hpp"
#include "lacuna/methods/head_split.hpp"
#include "reference/quest.hpp"
#include "reference/vertical_slash.hpp"
#include "support/block_case.hpp"
#include "support/index_case.hpp"

namespace support {

// keys_of(index, in, head, row): the keys that an index lets this query read, ascending, by the oracle's arithmetic.

inline reference::Keys keys_of(lacuna::DenseIndex const&, reference::Inputs const& in, std::int64_t, std::int64_t row) {
  return reference::dense_keys(in, row);
}

inline reference::Keys keys_of(lacuna::BandIndex const& index, reference::Inputs const& in, std::int64_t,
                               std::int64_t row) {
  reference::Keys keys = reference::dense_keys(in, row);
  if (row >= in.len_q - index.dense_queries) return keys;
  std::erase_if(keys,
                [&](std::int64_t j) { return j >= index.sink_tokens && in.position(row) - j >= index.window_tokens; });
  return keys;
}

inline reference::Keys keys_of(lacuna::VerticalSlashIndex const& index, reference::Inputs const& in, std::int64_t head,
                               std::int64_t row) {
  std::int64_t const at = head * index.heads() / in.heads_q;
  return reference::vertical_slash_keys(units_of(index.columns, at, index.counts(at, 0)),
                                        units_of(index.diagonals, at, index.counts(at, 1)), in.position(row),
                                        index.tile);
}

inline reference::Keys keys_of(lacuna::BlockIndex const& index, reference::Inputs const& in, std::int64_t head,
                               std::int64_t row) {
  std::int64_t const at = in.position(row), tokens = index.block_tokens;
  return reference::block_keys(
      kept_blocks(index, head * index.heads() / in.heads_q, at / tokens - reference::first_query_block(in, tokens)), at,
      tokens);
}

inline reference::Keys keys_of(lacuna::PageIndex const& index, reference::Inputs const& in, std::int64_t head,
                               std::int64_t) {
  std::int64_t const at = head * index.rows() / in.heads_q;
  return reference::page_keys(units_of(index.pages, at, index.counts(at)), index.page_tokens, in.len_k);
}

inline reference::Keys keys_of(lacuna::TokenIndex const& index, reference::Inputs const& in, std::int64_t head,
                               std::int64_t row) {
  reference::Keys keys = units_of(index.tokens, in.head_kv(head), index.counts(in.head_kv(head)));
  std::erase_if(keys, [&](std::int64_t j) { return j > in.position(row); });
  return keys;
}

template <class A, class B>
reference::Keys keys_of(lacuna::SplitIndex<A, B> const& index, reference::Inputs const& in, std::int64_t head,
                        std::int64_t row) {
  std::int64_t const heads = in.heads_q / index.parts(), part = head / heads;
  reference::Inputs const of_part{in.len_q, in.len_k, heads, 1, in.dim, {}, {}, {}};
  return index.takes_second(part) != 0 ? keys_of(index.second(part), of_part, head % heads, row)
                                       : keys_of(index.first(part), of_part, head % heads, row);
}

}  // namespace support
