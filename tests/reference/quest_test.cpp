#include "reference/quest.hpp"

#include <cmath>

#include "reference/golden.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using reference::Units;
using reference::UnitScores;

/// One query of two channels, five keys, pages of two.
reference::Inputs five_keys() {
  return {1, 5, 1, 1, 2, {1.0, -1.0}, {1, 1, -2, 3, 4, 0, 5, 1, 9, 9}, std::vector<double>(10, 0.0)};
}

TEST_CASE("reference quest: bounds and scores by hand", "[reference]") {
  auto const in = five_keys();
  auto const first = reference::page_bounds(in, 0, 0, 2);
  CHECK(first.low == std::vector<double>{-2, 1});
  CHECK(first.high == std::vector<double>{1, 3});
  CHECK(reference::page_bounds(in, 0, 2, 2).low == std::vector<double>{9, 9});
  CHECK(reference::quest_scores(in, 0, 2) == UnitScores{0.0, 5.0});
}

TEST_CASE("reference quest: the current page comes on top of the budget", "[reference]") {
  CHECK(reference::quest_pages({0.0, 5.0, 1.0}, 1) == Units{1, 3});
  CHECK(reference::quest_pages({0.0, 5.0, 1.0}, 3) == Units{0, 1, 2, 3});
  CHECK(reference::quest_pages({}, 4) == Units{0});
  CHECK(reference::page_keys({1, 2}, 2, 5) == reference::Keys{2, 3, 4});
}

TEST_CASE("reference quest: tokens read by one step of budget 128", "[reference]") {
  for (auto const& [len, read_tokens] : reference::effective_lengths()) {
    CAPTURE(len);
    UnitScores const scores(static_cast<std::size_t>(reference::current_page(len, 16)), 1.0);
    auto const keys = reference::page_keys(reference::quest_pages(scores, 8), 16, len);
    CHECK(static_cast<std::int64_t>(keys.size()) == read_tokens);
  }
}

TEST_CASE("reference quest: the score bounds every product in the page, and sharing adds up", "[reference]") {
  support::Random random(3);
  reference::Inputs in{1, 50, 6, 2, 8, {}, {}, {}};
  for (int e = 0; e < 6 * 8; ++e) in.q.push_back(random.normal());
  for (int e = 0; e < 50 * 2 * 8; ++e) in.k.push_back(random.normal());
  for (std::int64_t head = 0; head < 6; ++head) {
    UnitScores const scores = reference::quest_scores(in, head, 8);
    for (std::int64_t j = 0; j < 48; ++j)
      CHECK(scores[static_cast<std::size_t>(j / 8)] >= reference::dot(in.query(0, head), in.key(j, head / 3), 8));
  }
  UnitScores const shared = reference::quest_shared_scores(in, 1, 8);
  CHECK(shared[2] == Approx(reference::quest_scores(in, 3, 8)[2] + reference::quest_scores(in, 4, 8)[2] +
                            reference::quest_scores(in, 5, 8)[2]));
}

TEST_CASE("reference quest: a NaN key spoils its own page only", "[reference]") {
  auto in = five_keys();
  in.k[3] = std::nan("");
  UnitScores const scores = reference::quest_scores(in, 0, 2);
  CHECK(std::isnan(scores[0]));
  CHECK(scores[1] == 5.0);
  CHECK(reference::quest_pages(scores, 1) == Units{1, 2});
}

}  // namespace
