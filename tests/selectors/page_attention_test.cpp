#include "lacuna/selectors/page_attention.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lacuna/selectors/min_max_bound.hpp"
#include "reference/page_attention.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::MinMaxBound;
using lacuna::PageAttention;
using reference::Units;
using support::BoundsCase;
using support::Data;

template <class T>
void weighs_like_the_oracle(std::int64_t len, std::int64_t group, std::int64_t dim, bool shared,
                            support::Layout layout) {
  CAPTURE(len, group, dim, shared, name_of(layout));
  auto const in = support::make_inputs<T>({1, len, 2, group, dim}, Data::random, 21);
  BoundsCase<T> b(in, 16, layout);
  PageAttention<MinMaxBound> const selector{{shared}, 128};
  auto const run = support::score(selector, lacuna::Page<16>{}, b.problem());
  REQUIRE(run.complaint.empty());
  std::int64_t const rows = shared ? 2 : 2 * group, heads_per_row = 2 * group / rows;
  for (std::int64_t row = 0; row < rows; ++row) {
    auto const bounds = shared ? reference::quest_shared_scores(in, row, 16) : reference::quest_scores(in, row, 16);
    auto const& got = run.rows[static_cast<std::size_t>(row)];
    Units named;
    for (std::size_t page = 0; page < got.size(); ++page)
      if (std::isfinite(got[page])) named.push_back(static_cast<std::int64_t>(page));
    REQUIRE(reference::explain_selection(named, bounds, {}, 8, 1e-4) == "");
    auto const exact = reference::page_attention(in, row * heads_per_row, (row + 1) * heads_per_row, named, 16);
    for (std::int64_t page : named)
      REQUIRE(got[static_cast<std::size_t>(page)] ==
              Approx(exact[static_cast<std::size_t>(page)]).epsilon(2e-5).margin(1e-7));
  }
}

TEST_CASE("page attention: what each candidate holds among the candidates, and -inf elsewhere", "[selectors]") {
  for (std::int64_t len : {1, 16, 17, 129, 145, 400})
    for (std::int64_t group : {1, 3, 8}) weighs_like_the_oracle<float>(len, group, 20, true, {});
  for (support::Layout const& layout : support::layouts()) weighs_like_the_oracle<float>(300, 2, 64, false, layout);
  weighs_like_the_oracle<lacuna::bfloat16>(300, 4, 64, true, {});
}

TEST_CASE("page attention: a page with a broken key gets NaN, and the others share what is left", "[selectors]") {
  auto in = support::make_inputs<float>({1, 100, 1, 2, 16}, Data::random, 21);
  BoundsCase<float> b(in, 16);  // bounds without the NaN: the page is named
  in.k[33 * 16] = std::nan("");
  support::ProblemCase<float> broken(in);
  auto problem = broken.problem();
  problem.kv.bounds = b.problem().kv.bounds;
  problem.kv.bounds_page_tokens = 16;
  auto const run = support::score(PageAttention<MinMaxBound>{{}, 1600}, lacuna::Page<16>{}, problem);
  REQUIRE(run.complaint.empty());
  auto const exact = reference::page_attention(in, 0, 2, {0, 1, 3, 4, 5}, 16);
  for (std::size_t page : {0, 1, 3, 4, 5}) CHECK(run.rows[0][page] == Approx(exact[page]).epsilon(2e-5));
  CHECK(std::isnan(run.rows[0][2]));
}

TEST_CASE("page attention: refusals", "[selectors]") {
  PageAttention<MinMaxBound> const half_a_page{{}, 24};
  CHECK(std::string(half_a_page.check(lacuna::Page<16>{}, {}, 1).message) ==
        "page_attention: candidate_tokens must be a positive multiple of the tokens of a page");
  CHECK_FALSE(PageAttention<MinMaxBound>{{}, 0}.check(lacuna::Page<16>{}, {}, 1));
  BoundsCase<float> b(support::make_inputs<float>({1, 100, 1, 1, 16}, Data::random, 21), 16);
  std::vector<float> scores(6);
  CHECK(std::string(PageAttention<MinMaxBound>{{}, 64}
                        .score(lacuna::Cpu{}, lacuna::Page<16>{}, b.problem(), lacuna::Workspace{},
                               lacuna::dense_view<float, 3>(scores.data(), {1, 1, 6}))
                        .message) == "page_attention: the workspace is smaller than planned");
}

TEST_CASE("page mass: refusals", "[kernels]") {
  support::ProblemCase<float> c(support::make_inputs<float>({1, 100, 2, 1, 16}, Data::random, 21));
  std::vector<float> mass(12);
  std::vector<std::int32_t> ids(8), counts(2);
  lacuna::PageMassArgs<float> good{c.problem(),
                                   lacuna::dense_view<std::int32_t const, 2>(ids.data(), {2, 4}),
                                   lacuna::dense_view<std::int32_t const, 1>(counts.data(), {2}),
                                   16,
                                   lacuna::dense_view<float, 2>(mass.data(), {2, 6}),
                                   {}};
  REQUIRE(good.check());
  CHECK(std::string(lacuna::page_mass<float>({}, good).message) == "page_mass: the workspace is smaller than planned");
  auto args = good;
  args.page_tokens = 0;
  CHECK(std::string(args.check().message) == "page_mass: page_tokens must be at least 1");
  args = good;
  args.mass.extents[0] = 1;
  CHECK(std::string(args.check().message) == "page_mass: mass must have one row per KV head or per query head");
  args = good;
  args.counts.extents[0] = 1;
  CHECK(std::string(args.check().message) == "page_mass: pages and counts must have the rows of mass");
  support::ProblemCase<float> two(support::make_inputs<float>({2, 100, 2, 1, 16}, Data::random, 21));
  args = good;
  args.problem = two.problem();
  CHECK(std::string(args.check().message) == "page_mass: len_q must be 1");
}

}  // namespace
