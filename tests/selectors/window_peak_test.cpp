#include "lacuna/selectors/window_peak.hpp"

#include <string>

#include "reference/adaptive_heads.hpp"
#include "support/catch.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

TEST_CASE("window peak: one score per token and KV head, for any group", "[selectors]") {
  for (std::int64_t group : {1, 2, 3, 4, 5, 6, 7, 8}) {
    CAPTURE(group);
    auto const in = support::make_inputs<float>({50, 50, 2, group, 16}, support::Data::random, 2);
    support::ProblemCase<float> c(in);
    auto const run = support::score(lacuna::WindowPeak{.window = 20}, lacuna::Token{}, c.problem());
    REQUIRE(run.complaint.empty());
    for (std::size_t head = 0; head < 2; ++head) {
      auto const exact = reference::window_peak(in, static_cast<std::int64_t>(head), 20);
      for (std::size_t j = 0; j < 50; ++j) REQUIRE(run.rows[head][j] == Approx(exact[j]).margin(1e-7).epsilon(1e-5));
    }
  }
}

TEST_CASE("window peak: refusals, and what cannot be judged", "[selectors]") {
  CHECK(std::string(lacuna::WindowPeak{.window = 0}.check({}, {}, 9).message) ==
        "window_peak: window must be at least 1");
  CHECK_FALSE(lacuna::WindowPeak{}.can_judge({}, {0, 9, 1, 1, 16}));
}

}  // namespace
