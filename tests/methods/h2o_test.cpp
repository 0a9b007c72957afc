#include "lacuna/methods/h2o.hpp"

#include <algorithm>
#include <string>
#include <type_traits>

#include "support/catch.hpp"
#include "support/eviction_case.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::H2o;
using reference::Units;
using support::Data;

/// The sums are carried by the oracle in double, and follow the tokens that the library kept.
template <class M>
void forgets_like_the_oracle(std::int64_t prompt, std::int64_t steps, std::int64_t group, std::int64_t page_tokens) {
  CAPTURE(prompt, group, page_tokens);
  std::int64_t const capacity = 24, recent = 12;
  auto const all = support::make_inputs<float>({prompt + steps, prompt + steps, 2, group, 16}, Data::random, 42);
  M method;
  method.selector.recent_tokens = recent;
  method.budget.tokens = capacity;
  support::EvictionCase<M, float> c(method, all, std::max(prompt, capacity) + 1, prompt, page_tokens);
  std::vector<reference::UnitScores> mass(2);
  for (std::int64_t step = 0; step < steps; ++step) {
    CAPTURE(step);
    std::int64_t const queries = step == 0 ? prompt : 1;
    REQUIRE(c.append(queries) == "");
    REQUIRE(c.run(queries) == "");
    for (std::int64_t head = 0; head < 2; ++head) {
      auto& sums = mass[static_cast<std::size_t>(head)];
      auto const& held = c.held()[static_cast<std::size_t>(head)];
      sums.resize(held.size());
      for (std::int64_t row = c.end() - queries; row < c.end(); ++row) {
        Units seen;
        for (std::int64_t token : held)
          if (token <= row) seen.push_back(token);
        auto const weights = reference::held_weights(all, row, head, seen);
        for (std::size_t i = 0; i < weights.size(); ++i) sums[i] += weights[i];
      }
      for (std::size_t i = 0; i < held.size(); ++i)
        REQUIRE(c.store().view().mass(head, i) == Approx(sums[i]).epsilon(1e-4));
      Units const forced = reference::both_ends(static_cast<std::int64_t>(held.size()), 0, recent);
      auto scores = sums;
      for (std::size_t i = 0; i < held.size(); ++i) {
        REQUIRE(c.store().view().positions(head, i) == held[i]);
        if (std::is_same_v<M, lacuna::H2oPerQuery>) scores[i] /= static_cast<double>(c.end() - held[i]);
      }
      REQUIRE(reference::explain_selection(c.kept(head), scores, forced, capacity,
                                           1e-4 * reference::cut_magnitude(scores, forced, capacity)) == "");
      reference::UnitScores left;
      for (std::int64_t place : c.kept(head)) left.push_back(sums[static_cast<std::size_t>(place)]);
      sums = left;
    }
    REQUIRE(c.retain() == "");
    REQUIRE(c.pool().pages() - c.pool().free_pages() == c.pages_in_use());
  }
}

TEST_CASE("h2o: sums of attention grow with every query, move with their tokens, and decide", "[methods]") {
  for (std::int64_t page : {1, 8, 48, 256}) forgets_like_the_oracle<H2o>(40, 30, 2, page);
  for (std::int64_t group : {1, 3, 5, 8}) forgets_like_the_oracle<H2o>(10, 30, group, 16);
}

TEST_CASE("h2o: the prompt's sums are column sums of its whole attention, in as many passes as it takes", "[methods]") {
  forgets_like_the_oracle<H2o>(600, 3, 2, 16);
}

TEST_CASE("h2o: per query that could see the token, as kvpress has it", "[methods]") {
  for (std::int64_t page : {1, 16}) forgets_like_the_oracle<lacuna::H2oPerQuery>(40, 30, 2, page);
  forgets_like_the_oracle<lacuna::H2oPerQuery>(300, 8, 3, 16);
}

TEST_CASE("h2o: a store that keeps no sums is refused", "[methods]") {
  support::ProblemCase<float> c(support::make_inputs<float>({1, 30, 1, 1, 16}, Data::random, 1));
  H2o method;
  method.selector.recent_tokens = 4;
  method.budget.tokens = 8;
  support::MethodRun<H2o> run(method, c.problem());
  CHECK(run.run(c.problem(), c.out()) == "accumulated_attention: the store must keep the mass of every token it holds");
  lacuna::H2oPerQuery per_query;
  per_query.selector.recent_tokens = 4;
  per_query.budget.tokens = 8;
  support::MethodRun<lacuna::H2oPerQuery> other(per_query, c.problem());
  CHECK(other.run(c.problem(), c.out()) == "per_query: the store must keep the position of every token it holds");
}

}  // namespace
