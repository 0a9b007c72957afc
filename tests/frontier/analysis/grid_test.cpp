#include "frontier/analysis/grid.hpp"

#include "frontier/analysis/effects.hpp"
#include "frontier/analysis/synthetic.hpp"
#include "support/catch.hpp"

namespace {

using frontier::Record;

/// Dense 0.9, easy; the hard task loses half of it at a fifth, everything at a twentieth.
test::Synthetic example() {
  test::Synthetic made;
  made.score = [](Record const& record) {
    bool const hard = record.id.task == "hard";
    double const wave = record.id.index % 2 == 0 ? 0.1 : -0.1;
    return 0.9 * (hard ? (record.id.budget >= 0.5 ? 1.0 : record.id.budget >= 0.2 ? 0.5 : 0.0) : 1.0) + wave;
  };
  return made;
}

}  // namespace

TEST_CASE("grid: rows are found by what they are about", "[frontier]") {
  auto made = example();
  made.models = {{"big", 5'000'000}, {"small", 1'000'000}};
  made.lengths = {4096, 1024};
  frontier::Grid const grid = made.grid();
  CHECK(grid.models() == std::vector<std::string>{"small", "big"});
  CHECK(grid.lengths() == std::vector<std::int64_t>{1024, 4096});
  CHECK(grid.tasks() == std::vector<std::string>{"easy", "hard"});
  CHECK(grid.methods() == std::vector<std::string>{"quest"});
  CHECK(grid.methods("prefill").empty());
  CHECK(grid.budgets({.method = "quest"}) == std::vector<double>{0.5, 0.2, 0.1, 0.05});
  CHECK(grid.select({.model = "big", .task = "easy", .length = 1024, .method = "quest"}).size() == 4);
  auto const* const row = grid.select({.method = "quest"}).front();
  REQUIRE(grid.dense_of(*row) != nullptr);
  CHECK(grid.dense_of(*row)->model == row->model);
  CHECK(grid.dense_of(*row)->method == "dense");
  CHECK(grid.select({.turn = 2}).empty());
}

TEST_CASE("grid: between densities a line with dense at its end, nothing beyond the smallest", "[frontier]") {
  frontier::Grid const grid = example().grid();
  frontier::Where const hard{.task = "hard", .method = "quest"};
  CHECK(grid.at_density(hard, 1.0)->mean == Approx(0.9));
  CHECK(grid.at_density(hard, 0.2)->mean == Approx(0.45));
  CHECK(grid.at_density(hard, 0.35)->mean == Approx(0.675));
  CHECK(grid.at_density(hard, 0.35)->variance_of_mean == Approx(0.1 * 0.1 * 10 / 9 / 10));
  CHECK(grid.at_density(hard, 0.046)->mean == Approx(0.0).margin(1e-12));
  CHECK_FALSE(grid.at_density(hard, 0.04).has_value());
  CHECK_FALSE(grid.at_density({.task = "none"}, 0.5).has_value());
}

TEST_CASE("grid: samples are paired by seed and index", "[frontier]") {
  frontier::ReportRow first, second;
  first.samples = {{1, 0}, {1, 2}, {2, 0}};
  first.scores = {0.1, 0.2, 0.3};
  second.samples = {{1, 1}, {1, 2}, {2, 0}, {2, 1}};
  second.scores = {0.4, 0.5, 0.6, 0.7};
  frontier::Paired const pairs = frontier::pair_up(first, second);
  CHECK(pairs.first == std::vector<double>{0.2, 0.3});
  CHECK(pairs.second == std::vector<double>{0.5, 0.6});
}

TEST_CASE("effects: curves and errors of what was put in", "[frontier]") {
  auto made = example();
  made.lengths = {1024, 2048};
  frontier::Grid const grid = made.grid();
  auto const curve = frontier::task_curve(grid, {.task = "hard", .method = "quest"}, {0.5, 0.2, 0.01});
  REQUIRE(curve.size() == 2);
  CHECK(curve[0].mean == Approx(0.9));
  CHECK(curve[1].mean == Approx(0.45));
  CHECK(curve[1].cells == 2);
  CHECK(curve[1].standard_error == Approx(0.1 / 3 / std::sqrt(2.0)));
  CHECK(curve[1].standard_error_cells == Approx(0.0).margin(1e-12));

  auto const points = frontier::budget_curve(grid, {.method = "quest"});
  REQUIRE(points.size() == 4);
  CHECK(points.front().budget == 0.05);
  CHECK(points.front().mean == Approx(0.45));  // of easy 0.9 and hard 0
  CHECK(points.back().mean == Approx(0.9));
  CHECK(points.front().cells == 4);

  auto const line = frontier::error_line(grid, {.length = 2048}, {"quest"}, {0.2, 0.05});
  REQUIRE(line.size() == 2);
  CHECK(line[0].absolute() == Approx(0.225));
  CHECK(line[0].relative() == Approx(0.25));  // a ratio of means, not a mean of ratios
  CHECK(line[1].relative() == Approx(0.5));
  CHECK(line[0].cells == 2);
}
