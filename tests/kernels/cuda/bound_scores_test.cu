#include "lacuna/kernels/bound_scores.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/inputs.hpp"
#include "support/random.hpp"

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

TEST_CASE("cuda pick bounded pages: one launch picks what two do", "[cuda]") {
  using T = lacuna::bfloat16;
  std::int64_t const batch = 5, heads_kv = 2, group = 4, dim = 64, page_tokens = 16, room = 301;
  for (std::int64_t pages : {1500, 8192, 9000})
    for (bool shared : {true, false}) {
      CAPTURE(pages, shared);
      std::int64_t const rows = batch * heads_kv * (shared ? 1 : group);
      support::Random random(static_cast<std::uint64_t>(pages));
      auto const values = [&](std::int64_t count) {
        std::vector<T> all;
        for (std::int64_t i = 0; i < count; ++i) all.push_back(support::stored<T>(random.normal()));
        return all;
      };
      auto const longest = static_cast<std::int32_t>(pages * page_tokens);
      support::DeviceArray<T> q(values(batch * heads_kv * group * dim)),
          bounds(values(batch * heads_kv * pages * 2 * dim));
      support::DeviceArray<std::int32_t> lens(std::vector<std::int32_t>{longest, 1, 17, longest / 2, 0}),
          wanted(std::vector<std::int32_t>(static_cast<std::size_t>(rows), 300)),
          tickets(std::vector<std::int32_t>(static_cast<std::size_t>(rows), 0));
      support::DeviceArray<float> scores(static_cast<std::size_t>(rows * pages));
      support::DeviceArray<std::int32_t> ids(static_cast<std::size_t>(rows * room)), counts(wanted.size()),
          lens_out(wanted.size());
      lacuna::PickBoundedPagesBatchArgs<T> args;
      auto& problem = args.score.problem;
      problem.q = lacuna::dense_view<T const, 3>(q.data(), {batch, heads_kv * group, dim});
      problem.kv.heads_kv = heads_kv;
      problem.kv.dim = dim;
      problem.kv.k = problem.kv.v = q.data();  // not read
      problem.kv.lens = {lens.data(), {batch, heads_kv}, {1, 0}};
      problem.batch = batch;
      problem.max_len_q = 1;
      problem.max_len_k = longest;
      args.score.bounds = lacuna::dense_view<T const, 5>(bounds.data(), {batch, heads_kv, pages, 2, dim});
      args.score.page_tokens = page_tokens;
      args.score.scores = lacuna::dense_view<float, 2>(scores.data(), {rows, pages});
      args.pick.scores = args.score.scores;
      args.pick.wanted = lacuna::dense_view<std::int32_t const, 1>(wanted.data(), {rows});
      args.pick.lens = problem.kv.lens;
      args.pick.index = {lacuna::dense_view<std::int32_t, 2>(ids.data(), {rows, room}),
                         lacuna::dense_view<std::int32_t, 1>(counts.data(), {rows}),
                         lacuna::dense_view<std::int32_t, 1>(lens_out.data(), {rows}), page_tokens};
      support::Stream stream;
      REQUIRE(std::string(lacuna::pick_bounded_pages(lacuna::Cuda{stream}, args).message) == "");
      stream.wait();
      auto const two_ids = ids.download(), two_counts = counts.download();
      REQUIRE(two_counts[0] == 301);
      args.tickets = lacuna::dense_view<std::int32_t, 1>(tickets.data(), {rows});
      for (int again = 0; again < 20; ++again) {
        ids.poison();
        counts.poison();
        scores.poison();
        REQUIRE(std::string(lacuna::pick_bounded_pages(lacuna::Cuda{stream}, args).message) == "");
        stream.wait();
        REQUIRE(ids.download() == two_ids);
        REQUIRE(counts.download() == two_counts);
      }
      REQUIRE(tickets.download() == std::vector<std::int32_t>(static_cast<std::size_t>(rows), 0));
    }
}

}  // namespace
