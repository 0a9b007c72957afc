#pragma once

#include <cstdint>
#include <lacuna/lacuna.hpp>
#include <vector>

namespace frontier {

// one_head(index, head): the same choice as if that head were alone. A head is a row of the index: a query head, or a
// KV head whose group shares the choice.

template <class T, int Rank>
lacuna::TensorView<T, Rank> one_row(lacuna::TensorView<T, Rank> view, std::int64_t row) {
  view.data += row * view.strides[0];
  view.extents[0] = 1;
  return view;
}

inline lacuna::TokenIndex one_head(lacuna::TokenIndex index, std::int64_t head) {
  return {one_row(index.tokens, head), one_row(index.counts, head), one_row(index.lens, head)};
}

inline lacuna::PageIndex one_head(lacuna::PageIndex const& index, std::int64_t head) {
  return {one_row(index.pages, head), one_row(index.counts, head), one_row(index.lens, head), index.page_tokens};
}

inline lacuna::VerticalSlashIndex one_head(lacuna::VerticalSlashIndex index, std::int64_t head) {
  index.columns = one_row(index.columns, head);
  index.diagonals = one_row(index.diagonals, head);
  index.counts = one_row(index.counts, head);
  return index;
}

inline lacuna::BlockIndex one_head(lacuna::BlockIndex index, std::int64_t head) {
  index.blocks = one_row(index.blocks, head);
  index.counts = one_row(index.counts, head);
  return index;
}

inline std::int64_t heads_of(lacuna::PageIndex const& index) { return index.rows(); }
template <class Index>
  requires requires(Index const index) { index.heads(); }
std::int64_t heads_of(Index const& index) { return index.heads(); }

/// The measured share of the dense work that each head keeps; empty for an index that does not choose head by head.
template <class Index>
std::vector<double> head_densities(Index const& index) {
  std::vector<double> densities;
  if constexpr (requires { one_head(index, 0); }) {
    for (std::int64_t head = 0; head < heads_of(index); ++head)
      densities.push_back(lacuna::density(one_head(index, head)));
  } else if constexpr (requires { index.takes_second; }) {
    for (std::int64_t part = 0; part < index.parts(); ++part)
      densities.push_back(index.takes_second(part) != 0 ? lacuna::density(index.second(part))
                                                        : lacuna::density(index.first(part)));
  }
  return densities;
}

}  // namespace frontier
