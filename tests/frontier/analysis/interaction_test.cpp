#include "frontier/analysis/interaction.hpp"

#include "frontier/analysis/synthetic.hpp"
#include "support/catch.hpp"

namespace {

using frontier::Record;

/// Log-odds 3 - ln compression - 0.5 if quantised - `both` of their product, and the easy task 1 more.
test::Synthetic in_log_odds(double both) {
  test::Synthetic made;
  made.methods = {"quest", "quest-int8"};
  made.samples = 400;
  made.score = [both](Record const& record) {
    double const compression = -std::log(record.id.budget), codes = record.id.method == "quest-int8" ? 1.0 : 0.0;
    double const logit =
        3.0 + (record.id.task == "easy" ? 1.0 : 0.0) - compression - 0.5 * codes - both * compression * codes;
    double const p = 1.0 / (1.0 + std::exp(-logit));
    return (static_cast<double>(record.id.index) + 0.5) / 400.0 < p ? 1.0 : 0.0;
  };
  made.cost = [](Record const& record) {
    double const bytes = record.id.method == "quest-int8" ? 1.0 : 2.0;
    return frontier::Cost{0.0, 0.0, 0.0, 1000.0 * record.id.budget, 0.0, bytes};
  };
  return made;
}

TEST_CASE("interaction: the terms that were put in", "[frontier]") {
  auto const none = frontier::fit_interaction(in_log_odds(0.0).grid(), {}, "quest", "quest-int8");
  CHECK(none.cells == 16);
  CHECK(none.sparsity.value == Approx(-1.0).margin(0.03));
  CHECK(none.quantised.value == Approx(-0.5).margin(0.06));
  CHECK(none.both.value == Approx(0.0).margin(0.03));
  CHECK(none.p > 0.01);
  auto const some = frontier::fit_interaction(in_log_odds(0.4).grid(), {}, "quest", "quest-int8");
  CHECK(some.both.value == Approx(-0.4).margin(0.03));
  CHECK(some.p < 1e-4);
  CHECK_THROWS_AS(frontier::fit_interaction(in_log_odds(0.0).grid(), {}, "quest", "none"), std::invalid_argument);
}

TEST_CASE("interaction: at equal bytes codes may read twice the tokens", "[frontier]") {
  auto const balance = frontier::balance_bytes(in_log_odds(0.0).grid(), {}, "quest", "quest-int8");
  // At 1000 * budget bytes the full cache has half of the budget: 0.2 and 0.1 lie within its curve, and 0.5.
  REQUIRE(balance.size() == 3);
  for (auto const& point : balance) {
    CAPTURE(point.bytes);
    CHECK(point.quantised > point.full);  // half a log-odd of codes against ln 2 of tokens
  }
  CHECK(balance.back().bytes == Approx(500.0));
}

TEST_CASE("scaling law: held-out axes are foretold when the law is true", "[frontier]") {
  test::Synthetic made;
  made.models = {{"a", 1'000'000}, {"b", 3'000'000}, {"c", 6'000'000}};
  made.lengths = {1024, 2048, 4096};
  made.samples = 400;
  made.score = [](Record const& record) {
    double const size = std::log((static_cast<double>(record.parameters) - 25600.0) / 1e6);
    double const logit = 1.0 + (record.id.task == "easy" ? 1.0 : 0.0) + 1.2 * size -
                         0.5 * std::log(static_cast<double>(record.id.length) / 1024) +
                         0.8 * std::log(record.id.budget);
    return (static_cast<double>(record.id.index) + 0.5) / 400.0 < 1.0 / (1.0 + std::exp(-logit)) ? 1.0 : 0.0;
  };
  auto const cells = frontier::law_cells(made.grid(), "quest");
  CHECK(cells.size() == 3 * 3 * 2 * 5);
  CHECK(cells.front().parameters == 1'000'000 - 100 * 256);  // embeddings do not count
  auto const laws = frontier::hold_out(cells, 0.5 / 400);
  REQUIRE(laws.size() == 3);
  for (auto const& held : laws) {
    CAPTURE(held.axis);
    CHECK(held.law.r2 > 0.99);
    CHECK(held.all.mean_absolute_error < 0.02);
    CHECK(held.tasks.size() == 2);
    for (auto const& task : held.tasks) {
      CHECK(task.validation.mean_absolute_error < 0.03);
      CHECK(task.baseline_error > task.validation.mean_absolute_error);
      CHECK(task.validation.ranks.rho > 0.9);
    }
  }
  made.models = {{"a", 1'000'000}};
  made.lengths = {1024};
  auto const narrow = frontier::hold_out(frontier::law_cells(made.grid(), "quest"), 0.001);
  REQUIRE(narrow.size() == 1);
  CHECK(narrow.front().axis == "compression");
  CHECK(narrow.front().law.exploratory);
}

}  // namespace
