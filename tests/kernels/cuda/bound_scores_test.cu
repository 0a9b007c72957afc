#include "lacuna/kernels/bound_scores.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/inputs.hpp"

namespace {

using support::Data;

/// Bounds of random keys against sum_x max(q_x min_x, q_x max_x) in double; float sums of exact products.
template <class T>
void equals_the_formula(std::int64_t dim, std::int64_t group, std::int64_t page_tokens, bool shared,
                        std::int64_t window) {
  std::vector<reference::Inputs> inputs;
  for (std::int64_t len : {700, 1, 33, 2400})
    inputs.push_back(support::make_inputs<T>({1, len, 2, group, dim}, Data::random, static_cast<std::uint64_t>(len)));
  for (auto& in : inputs) in.window_tokens = window;
  CAPTURE(dim, group, page_tokens, shared, window);
  std::int64_t const heads_kv = 2, heads_q = 2 * group, batch = 4, pages = (2400 + page_tokens - 1) / page_tokens;
  std::int64_t const rows = batch * (shared ? heads_kv : heads_q);
  support::BatchCase<T> c(inputs);
  std::vector<T> bounds(static_cast<std::size_t>(batch * heads_kv * pages * 2 * dim), support::poison<T>());
  std::vector<double> low(bounds.size()), expected(static_cast<std::size_t>(rows * pages)), size(expected.size());
  auto const at = [&](std::int64_t b, std::int64_t h, std::int64_t page, std::int64_t side, std::int64_t x) {
    return static_cast<std::size_t>((((b * heads_kv + h) * pages + page) * 2 + side) * dim + x);
  };
  for (std::int64_t b = 0; b < batch; ++b) {
    auto const& in = inputs[static_cast<std::size_t>(b)];
    for (std::int64_t h = 0; h < heads_kv; ++h)
      for (std::int64_t page = 0; page < (in.len_k - 1) / page_tokens; ++page)
        for (std::int64_t x = 0; x < dim; ++x) {
          double lowest = INFINITY, highest = -INFINITY;
          for (std::int64_t t = page * page_tokens; t < (page + 1) * page_tokens; ++t) {
            lowest = std::min(lowest, in.key(t, h)[x]);
            highest = std::max(highest, in.key(t, h)[x]);
          }
          bounds[at(b, h, page, 0, x)] = support::stored<T>(lowest);
          bounds[at(b, h, page, 1, x)] = support::stored<T>(highest);
          for (std::int64_t i = 0; i < group; ++i) {
            double const q = in.query(0, h * group + i)[x];
            std::size_t const slot =
                static_cast<std::size_t>((b * rows / batch + (shared ? h : h * group + i)) * pages + page);
            expected[slot] += std::max(q * lowest, q * highest);
            size[slot] += std::abs(q) * std::max(std::abs(lowest), std::abs(highest));
          }
        }
  }
  support::DeviceArray<T> d_bounds(bounds);
  support::DeviceArray<float> d_scores(expected.size());
  support::Stream stream;
  lacuna::BoundScoresBatchArgs<T> args;
  args.problem = c.problem();
  args.bounds = lacuna::dense_view<T const, 5>(d_bounds.data(), {batch, heads_kv, pages, 2, dim});
  args.page_tokens = page_tokens;
  args.scores = lacuna::dense_view<float, 2>(d_scores.data(), {rows, pages});
  REQUIRE(std::string(lacuna::bound_scores(lacuna::Cuda{stream}, args).message) == "");
  stream.wait();
  auto const got = d_scores.download();
  REQUIRE(d_scores.guards_untouched());
  support::DeviceArray<float> const untouched(std::size_t{1});
  float const poison = untouched.download()[0];
  for (std::int64_t row = 0; row < rows; ++row) {
    auto const& in = inputs[static_cast<std::size_t>(row * batch / rows)];
    std::int64_t const full = (in.len_k - 1) / page_tokens;
    std::int64_t const first = window > 0 ? std::max<std::int64_t>(0, in.len_k - window) / page_tokens : 0;
    for (std::int64_t page = 0; page < pages; ++page) {
      std::size_t const slot = static_cast<std::size_t>(row * pages + page);
      bool const right = page >= full   ? support::same_bits(got[slot], poison)
                         : page < first ? got[slot] == -INFINITY
                                        : std::abs(got[slot] - expected[slot]) <= 0x1p-18 * size[slot] + 1e-30;
      if (right) continue;
      CAPTURE(row, page, got[slot], expected[slot]);
      REQUIRE(right);
    }
  }
}

TEST_CASE("cuda bound scores: the upper bound of every full page, per head and per group", "[cuda]") {
  for (bool shared : {true, false})
    for (std::int64_t group : {1, 4, 7, 8, 16}) {
      equals_the_formula<lacuna::bfloat16>(128, group, 16, shared, 0);
      equals_the_formula<lacuna::half>(64, group, 16, shared, 100);
      equals_the_formula<lacuna::bfloat16>(256, group, 7, shared, 0);
    }
}

}  // namespace
