#include "frontier/analysis/iso_cost.hpp"

#include "frontier/analysis/synthetic.hpp"
#include "support/catch.hpp"

namespace {

using frontier::IsoCostPoint;
using frontier::Record;

TEST_CASE("iso cost: the frontier holds what nothing cheaper beats", "[frontier]") {
  std::vector<IsoCostPoint> points;
  auto const add = [&](char const* model, double cost, double performance) {
    IsoCostPoint point;
    point.model = model;
    point.method = "m";
    point.cost = cost;
    point.performance = performance;
    points.push_back(point);
  };
  add("late", 4.0, 0.7);
  add("first", 1.0, 0.5);
  add("equal", 4.0, 0.6);
  add("worse", 2.0, 0.5);
  add("best", 9.0, 0.9);
  frontier::mark_frontier(points);
  std::string order;
  for (IsoCostPoint const& point : points) order += point.model + (point.on_frontier ? "+ " : "- ");
  CHECK(order == "first+ worse- late+ equal- best+ ");
  CHECK(points[1].dominated_by == "first m 1");
  CHECK(points[3].dominated_by == "late m 1");
}

TEST_CASE("iso cost: a large sparse model overtakes a small dense one where attention is most of the cost",
          "[frontier]") {
  test::Synthetic made;
  made.models = {{"small", 1'000'000}, {"large", 4'000'000}};
  made.lengths = {1000, 100'000};
  made.budgets = {0.5, 0.1};
  made.score = [](Record const& record) {
    return (record.model == "large" ? 0.9 : 0.6) - (record.id.budget < 0.2 ? 0.1 : 0.0);
  };
  // Weights cost as many reads as there are parameters, tokens 100 each: at 100 000 tokens the small dense model reads
  // 1e6 + 1e7, the large one at a tenth 4e6 + 1e6.
  frontier::Grid const grid = made.grid();
  CHECK(frontier::crossover_length(grid, "quest", 1.0) == 100'000);
  // A batch shares the weights, so the cache is all that counts.
  CHECK(frontier::crossover_length(grid, "quest", 1e6) == 1000);
  CHECK_FALSE(frontier::crossover_length(grid, "none", 1.0).has_value());
  auto const points = frontier::iso_cost(grid, "quest", 100'000, 1.0);
  REQUIRE(points.size() == 6);
  CHECK(points.front().model == "small");
  CHECK(points.front().budget == 0.1);
  CHECK(points.front().performance == Approx(0.5));
  CHECK(points.front().tasks == 2);
  for (IsoCostPoint const& point : points)
    if (point.model == "small" && point.method == "dense") CHECK_FALSE(point.on_frontier);
}

TEST_CASE("iso cost: a task that was not run everywhere counts nowhere", "[frontier]") {
  test::Synthetic made;
  made.score = [](Record const& record) { return record.id.task == "easy" ? 1.0 : 0.0; };
  std::vector<Record> records = made.records();
  std::erase_if(records, [](Record const& r) { return r.id.task == "hard" && r.id.budget == 0.05; });
  auto const points = frontier::iso_cost(frontier::Grid(records), "quest", 1024, 1.0);
  REQUIRE(points.size() == 5);
  for (IsoCostPoint const& point : points) {
    CHECK(point.tasks == 1);
    CHECK(point.performance == Approx(1.0));
  }
}

TEST_CASE("iso cost: shares of the published models", "[frontier]") {
  double attention = 0.0, scores = 0.0, kv = 0.0, published = 0.0;
  auto const models = frontier::published_models();
  for (std::size_t i = 0; i < 4; ++i) {
    auto const share = frontier::cost_share(models[i].first, models[i].second, 16384, 8);
    attention += share.attention_share / 4;
    scores += share.score_share / 4;
    kv += share.kv_share / 4;
    published += share.published_speedup / 4;
  }
  CHECK(attention == Approx(0.402).margin(0.0005));
  CHECK(scores == Approx(0.292).margin(0.0005));
  CHECK(kv == Approx(0.352).margin(0.0005));
  CHECK(published == Approx(1.483).margin(0.02));
  auto const gemma = frontier::cost_share(models[4].first, models[4].second, 131072, 8);
  CHECK(gemma.attention_share == Approx(0.541).margin(0.0005));
  CHECK(gemma.kv_share == Approx(0.752).margin(0.0005));
}

}  // namespace
