#include "lacuna/kernels/pooled_scores.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "lacuna/kernels/pool_blocks.hpp"
#include "reference/block_sparse.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/inputs.hpp"

namespace {

using support::BatchCase;
using support::Data;
using support::DeviceArray;
using support::Sizes;

/// Scores of all rows of a batch, `rows_at_once` at a time, where nothing was written poisoned.
template <class T>
struct Scored {
  std::int64_t rows, wide;
  std::vector<float> scores;  // [heads_q, rows, wide]

  Scored(BatchCase<T> const& c, std::int64_t tokens, std::int64_t rows_at_once) {
    support::Stream stream;
    lacuna::Cuda const exec{stream};
    auto const problem = c.problem();
    rows = lacuna::BlockIndex::first_row(problem.batch, problem.tokens_q(), tokens);
    std::int64_t const blocks = (problem.max_len_k + tokens - 1) / tokens, dim = problem.dim();
    wide = (blocks + 3) / 4 * 4;
    DeviceArray<lacuna::bfloat16> queries(static_cast<std::size_t>(problem.heads_q() * rows * 2 * dim));
    DeviceArray<lacuna::bfloat16> keys(static_cast<std::size_t>(problem.batch * problem.heads_kv() * blocks * 2 * dim));
    DeviceArray<float> out(static_cast<std::size_t>(problem.heads_q() * rows * wide));
    auto const q = lacuna::dense_view<lacuna::bfloat16, 4>(queries.data(), {problem.heads_q(), rows, 2, dim});
    auto const k =
        lacuna::dense_view<lacuna::bfloat16, 4>(keys.data(), {problem.batch * problem.heads_kv(), blocks, 2, dim});
    auto const pooled = lacuna::pool_blocks(exec, lacuna::PoolBlocksBatchArgs<T>{problem, tokens, q, k});
    REQUIRE(pooled);
    for (std::int64_t first = 0; first < rows; first += rows_at_once) {
      std::int64_t const count = std::min(rows_at_once, rows - first);
      lacuna::Scores const chunk{out.data() + first * wide, {problem.heads_q(), count, wide}, {rows * wide, wide, 1}};
      auto const s = lacuna::pooled_scores(exec, lacuna::PooledScoresBatchArgs<T>{problem, tokens, q, k, first, chunk});
      CAPTURE(s.message);
      REQUIRE(s);
    }
    stream.wait();
    scores = out.download();
    REQUIRE(out.guards_untouched());
    REQUIRE(queries.guards_untouched());
    REQUIRE(keys.guards_untouched());
  }
};

template <class T>
void equals_the_oracle(std::vector<Sizes> const& sizes, std::int64_t tokens, Data data, support::Layout layout = {},
                       std::int64_t window_tokens = 0) {
  CAPTURE(tokens, name_of(data), layout.page_tokens, window_tokens);
  std::vector<reference::Inputs> inputs;
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    inputs.push_back(support::make_inputs<T>(sizes[b], data, 40 + b));
    inputs.back().window_tokens = window_tokens;
  }
  BatchCase<T> const c(inputs, layout);
  Scored<T> const got(c, tokens, 24);
  Scored<T> const again(c, tokens, 7);
  std::int64_t first_query = 0;
  for (std::size_t b = 0; b < inputs.size(); first_query += inputs[b].len_q, ++b) {
    auto const& in = inputs[b];
    if (in.len_q == 0) continue;
    std::int64_t const first_row = lacuna::BlockIndex::first_row(static_cast<std::int64_t>(b), first_query, tokens);
    for (std::int64_t head = 0; head < in.heads_q; ++head)
      for (std::int64_t m = reference::first_query_block(in, tokens); m < reference::end_query_block(in, tokens); ++m) {
        std::int64_t const row = first_row + m - reference::first_query_block(in, tokens);
        auto const exact = reference::pooled_block_scores(in, head, m, tokens);
        std::int64_t const position = std::max(m * tokens, in.len_k - in.len_q);
        for (std::int64_t block = 0; block <= m; ++block) {
          std::size_t const at = static_cast<std::size_t>((head * got.rows + row) * got.wide + block);
          CAPTURE(b, head, m, block, exact[static_cast<std::size_t>(block)], got.scores[at]);
          bool const hidden = window_tokens > 0 && (block + 1) * tokens - 1 < position + 1 - window_tokens;
          if (hidden)
            REQUIRE(got.scores[at] == -std::numeric_limits<float>::infinity());
          else
            REQUIRE(std::abs(got.scores[at] - exact[static_cast<std::size_t>(block)]) <=
                    (data == Data::huge ? 3600.0 : 1.0) * 3e-5 * std::sqrt(static_cast<double>(in.dim)));
          REQUIRE(got.scores[at] == again.scores[at]);
        }
      }
  }
}

TEST_CASE("cuda pooled scores: equal the oracle, whatever the batch, head size, block and group", "[kernels]") {
  for (std::int64_t tokens : {16, 64, 128}) {
    equals_the_oracle<lacuna::bfloat16>(
        {{300, 300, 2, 4, 128}, {77, 210, 2, 4, 128}, {0, 50, 2, 4, 128}, {1, 130, 2, 4, 128}, {1, 1, 2, 4, 128}},
        tokens, Data::random);
    equals_the_oracle<lacuna::half>({{129, 257, 1, 7, 64}, {64, 64, 1, 7, 64}}, tokens, Data::random);
    equals_the_oracle<lacuna::half>({{200, 200, 3, 1, 256}}, tokens, Data::random);
    equals_the_oracle<lacuna::bfloat16>({{333, 333, 1, 5, 256}}, tokens, Data::random);
  }
  equals_the_oracle<lacuna::bfloat16>({{2500, 2500, 1, 2, 64}}, 16, Data::random);
  equals_the_oracle<lacuna::bfloat16>({{200, 333, 1, 4, 128}}, 16, Data::huge);
}

TEST_CASE("cuda pooled scores: layouts, pages and windows", "[kernels]") {
  for (support::Layout const& layout : {support::Layout{.padding = 8}, support::Layout{.heads_first = true},
                                        support::Layout{.page_tokens = 16}, support::Layout{.page_tokens = 7}})
    equals_the_oracle<lacuna::bfloat16>({{100, 140, 2, 2, 64}, {65, 65, 2, 2, 64}}, 16, Data::random, layout);
  for (std::int64_t window : {1, 16, 40, 100})
    equals_the_oracle<lacuna::bfloat16>({{150, 200, 2, 2, 64}}, 16, Data::random, {}, window);
}

}  // namespace

// For the tests of whole methods, which do not compile it again (support/cuda_doors.hpp).
template lacuna::Status lacuna::pooled_scores<lacuna::bfloat16>(lacuna::Cuda,
                                                                lacuna::PooledScoresBatchArgs<lacuna::bfloat16> const&);
template lacuna::Status lacuna::pool_blocks<lacuna::bfloat16>(lacuna::Cuda,
                                                              lacuna::PoolBlocksBatchArgs<lacuna::bfloat16> const&);
