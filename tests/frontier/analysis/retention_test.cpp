#include "frontier/analysis/retention.hpp"

#include "frontier/analysis/synthetic.hpp"
#include "support/catch.hpp"

namespace {

using frontier::Record;

TEST_CASE("retention: the first significant drop of every task, and their mean", "[frontier]") {
  test::Synthetic made;
  made.tasks = {"easy", "hard", "hopeless"};
  made.samples = 40;
  made.score = [](Record const& record) {
    if (record.id.task == "hopeless") return 0.0;
    double const wave = record.id.index % 4 == 0 ? 0.0 : 1.0;  // dense 0.75
    return record.id.task == "hard" && record.id.budget <= 0.1 ? 0.0 : wave;
  };
  auto const tasks = frontier::retention(made.grid(), {.method = "quest"});
  REQUIRE(tasks.size() == 3);
  CHECK(tasks[0].most.prefix == 20.0);
  CHECK(tasks[0].most.censored);
  CHECK(tasks[0].dense == Approx(0.75));
  CHECK(tasks[1].most.prefix == 5.0);
  CHECK(tasks[1].most.paired == 5.0);
  CHECK_FALSE(tasks[2].most.informative);
  auto const summary = frontier::summarise(tasks);
  CHECK(summary.informative == 2);
  CHECK(summary.uninformative == 1);
  CHECK(summary.mean == Approx(12.5));
  CHECK(summary.deviation == Approx(10.6066));
  CHECK(summary.least == 5.0);
  CHECK(summary.least_task == "hard");
}

TEST_CASE("retention: two methods compared on the same prompts", "[frontier]") {
  test::Synthetic made;
  made.methods = {"even", "spread"};
  made.score = [](Record const& record) {
    double const base = 0.1 * static_cast<double>(record.id.index);
    bool const gains = record.id.method == "spread" && record.id.task == "hard" && record.id.budget == 0.1;
    return base + (gains ? 0.05 + 0.01 * static_cast<double>(record.id.index % 2) : 0.0);
  };
  auto const found = frontier::compare(made.grid(), {}, "even", "spread");
  REQUIRE(found.size() == 2 * 4 + 4);
  for (frontier::Comparison const& one : found) {
    CAPTURE(one.task, one.budget);
    double const expected = one.budget != 0.1 ? 0.0 : one.task == "hard" ? 0.055 : one.task == "easy" ? 0.0 : 0.0275;
    CHECK(one.difference == Approx(expected).margin(1e-12));
    CHECK(one.count == (one.task.empty() ? 20 : 10));
    if (one.task == "hard" && one.budget == 0.1) {
      CHECK(one.p_higher < 1e-6);
      CHECK(one.p_lower > 0.999);
    }
  }
  CHECK(frontier::compare(made.grid(), {}, "even", "none").empty());
}

}  // namespace
