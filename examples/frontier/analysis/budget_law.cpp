#include "frontier/analysis/budget_law.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "frontier/random.hpp"

namespace frontier {
namespace {

/// Scores of one length: per task, per prompt, dense first and then by ascending density.
struct LengthScores {
  std::int64_t length = 0;
  std::vector<double> densities = {};                        // ascending, the last is 1
  std::vector<std::vector<std::vector<double>>> tasks = {};  // [task][density][prompt]
};

std::optional<LengthScores> scores_of(Grid const& grid, Where where, std::int64_t length) {
  where.length = length;
  LengthScores result{.length = length};
  std::vector<double> budgets = grid.budgets(where);
  std::sort(budgets.begin(), budgets.end());
  for (double budget : budgets) {
    double density = 0.0, count = 0.0;
    for (ReportRow const* row : grid.select(where))
      if (row->budget == budget) density += row->density, count += 1.0;
    result.densities.push_back(density / count);
  }
  result.densities.push_back(1.0);
  for (std::string const& task : grid.tasks(where)) {
    where.task = task;
    ReportRow const* const dense = grid.dense(where);
    auto const rows = grid.select(where);
    if (dense == nullptr || rows.size() != budgets.size()) continue;
    std::vector<std::vector<double>> scores;
    for (double budget : budgets)
      for (ReportRow const* row : rows)
        if (row->budget == budget) scores.push_back(pair_up(*dense, *row).second);
    scores.push_back(dense->scores);
    bool const complete =
        std::all_of(scores.begin(), scores.end(), [&](auto const& one) { return one.size() == dense->scores.size(); });
    if (complete) result.tasks.push_back(std::move(scores));
  }
  if (result.tasks.empty() || budgets.empty()) return std::nullopt;
  return result;
}

using Draws = std::vector<std::vector<std::size_t>>;  // [task][prompt]

std::vector<double> errors_of(LengthScores const& scores, Draws const& draws) {
  std::vector<double> means(scores.densities.size(), 0.0);
  for (std::size_t task = 0; task < scores.tasks.size(); ++task)
    for (std::size_t at = 0; at < means.size(); ++at)
      for (std::size_t prompt : draws[task])
        means[at] += scores.tasks[task][at][prompt] / static_cast<double>(draws[task].size());
  std::vector<double> errors;
  for (double mean : means) errors.push_back(means.back() > 0.0 ? 1.0 - mean / means.back() : 0.0);
  // More tokens should not hurt: where chance says otherwise, the worse of both holds.
  for (std::size_t at = errors.size(); at-- > 1;) errors[at - 1] = std::max(errors[at - 1], errors[at]);
  return errors;
}

/// The tokens at which the error is just reached, between budgets on a line of ln density.
std::optional<double> tokens_for(LengthScores const& scores, std::vector<double> const& errors, double error) {
  if (errors.front() <= error) return std::nullopt;
  for (std::size_t at = 1; at < errors.size(); ++at) {
    if (errors[at] > error) continue;
    double const share = (errors[at - 1] - error) / std::max(errors[at - 1] - errors[at], 1e-12);
    double const low = std::log(scores.densities[at - 1]), high = std::log(scores.densities[at]);
    return std::exp(low + share * (high - low)) * static_cast<double>(scores.length);
  }
  return std::nullopt;
}

struct Line {
  double intercept = 0.0;
  double slope = 0.0;
  std::int64_t points = 0;
};

template <class DrawsOf>
Line line_through(std::vector<LengthScores> const& lengths, double error, DrawsOf const& draws_of) {
  std::vector<double> xs, ys;
  for (LengthScores const& scores : lengths)
    if (auto const tokens = tokens_for(scores, errors_of(scores, draws_of(scores)), error)) {
      xs.push_back(std::log(static_cast<double>(scores.length)));
      ys.push_back(std::log(*tokens));
    }
  Line line{.points = static_cast<std::int64_t>(xs.size())};
  if (xs.size() < 2) return line;
  double x = 0.0, y = 0.0, xx = 0.0, xy = 0.0;
  auto const count = static_cast<double>(xs.size());
  for (std::size_t i = 0; i < xs.size(); ++i) x += xs[i] / count, y += ys[i] / count;
  for (std::size_t i = 0; i < xs.size(); ++i) xx += (xs[i] - x) * (xs[i] - x), xy += (xs[i] - x) * (ys[i] - y);
  line.slope = xy / xx;
  line.intercept = y - line.slope * x;
  return line;
}

Draws everything(LengthScores const& scores) {
  Draws draws;
  for (auto const& task : scores.tasks) {
    draws.emplace_back();
    for (std::size_t prompt = 0; prompt < task.back().size(); ++prompt) draws.back().push_back(prompt);
  }
  return draws;
}

}  // namespace

double BudgetLaw::tokens(double length) const { return scale * std::pow(length, exponent); }

std::optional<BudgetLaw> fit_budget_law(Grid const& grid, Where const& where, double error,
                                        std::vector<std::int64_t> const& lengths, std::int64_t resamples,
                                        std::uint64_t seed) {
  std::vector<LengthScores> scores;
  for (std::int64_t length : lengths.empty() ? grid.lengths(where) : lengths)
    if (auto one = scores_of(grid, where, length)) scores.push_back(std::move(*one));
  Line const line = line_through(scores, error, everything);
  if (line.points < 2) return std::nullopt;
  BudgetLaw law{.error = error, .scale = std::exp(line.intercept), .exponent = line.slope, .lengths = line.points};
  Random random(seed, "budget law", 0);
  std::vector<double> exponents;
  for (std::int64_t i = 0; i < resamples; ++i) {
    Line const drawn = line_through(scores, error, [&](LengthScores const& one) {
      Draws draws = everything(one);
      for (auto& task : draws) {
        auto const count = static_cast<std::int64_t>(task.size());
        for (std::size_t& prompt : task) prompt = static_cast<std::size_t>(random.below(count));
      }
      return draws;
    });
    if (drawn.points == line.points) exponents.push_back(drawn.slope);
  }
  std::sort(exponents.begin(), exponents.end());
  law.resamples = static_cast<std::int64_t>(exponents.size());
  law.low = law.high = law.exponent;
  if (!exponents.empty()) {
    auto const last = static_cast<double>(exponents.size() - 1);
    law.low = exponents[static_cast<std::size_t>(0.025 * last)];
    law.high = exponents[static_cast<std::size_t>(0.975 * last + 0.5)];
  }
  return law;
}

std::optional<double> relative_error(Grid const& grid, Where const& where, double density) {
  double dense = 0.0, sparse = 0.0;
  for (std::string const& task : grid.tasks(where)) {
    Where cell = where;
    cell.task = task;
    auto const value = grid.at_density(cell, density);
    ReportRow const* const whole = grid.dense(cell);
    if (!value || whole == nullptr) return std::nullopt;
    dense += whole->strict.mean;
    sparse += value->mean;
  }
  if (!(dense > 0.0)) return std::nullopt;
  return 1.0 - sparse / dense;
}

}  // namespace frontier
