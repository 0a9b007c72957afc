#include "frontier/analysis/budget_law.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <tuple>
#include <utility>

#include "frontier/random.hpp"

namespace frontier {
namespace {

/// Scores of one length: per task, per prompt, dense first and then by ascending density.
struct LengthScores {
  std::int64_t length = 0;
  std::vector<double> densities = {};                        // ascending, the last is 1
  std::vector<std::vector<std::vector<double>>> tasks = {};  // [task][density][prompt]
};

/// The scores of one row for the prompts of dense; empty where it lacks some.
std::vector<double> scores_for(ReportRow const& dense, ReportRow const& row) {
  std::vector<double> scores = pair_up(dense, row).second;
  return scores.size() == dense.scores.size() ? scores : std::vector<double>{};
}

/// Budgets that fewer tasks have than the commonest are left out, then tasks that lack one: a budget that was tried on
/// some prompts alone must not cost the others theirs.
std::optional<LengthScores> scores_of(Grid const& grid, Where where, std::int64_t length) {
  where.length = length;
  std::map<double, std::map<std::string, std::vector<double>>> by_budget;
  std::map<double, double> densities;
  std::map<std::string, ReportRow const*> dense;
  for (ReportRow const* row : grid.select(where)) {
    ReportRow const* const whole = dense[row->task] = grid.dense_of(*row);
    if (whole == nullptr) continue;
    std::vector<double> scores = scores_for(*whole, *row);
    if (scores.empty()) continue;
    bool const first = by_budget[row->budget].try_emplace(row->task, std::move(scores)).second;
    if (!first) return std::nullopt;  // several models
    densities[row->budget] += row->density;
  }
  std::size_t most = 0;
  for (auto const& [budget, tasks] : by_budget) most = std::max(most, tasks.size());
  std::erase_if(by_budget, [&](auto const& one) { return one.second.size() < most; });
  LengthScores result{.length = length};
  for (auto const& [budget, tasks] : by_budget)
    result.densities.push_back(densities[budget] / static_cast<double>(tasks.size()));
  result.densities.push_back(1.0);
  for (std::string const& task : grid.tasks(where)) {
    std::vector<std::vector<double>> scores;
    for (auto const& [budget, tasks] : by_budget)
      if (auto const at = tasks.find(task); at != tasks.end()) scores.push_back(at->second);
    if (scores.empty() || scores.size() != by_budget.size()) continue;
    scores.push_back(dense[task]->scores);
    result.tasks.push_back(std::move(scores));
  }
  bool const any_right = std::any_of(result.tasks.begin(), result.tasks.end(), [](auto const& task) {
    return std::any_of(task.back().begin(), task.back().end(), [](double score) { return score > 0.0; });
  });
  if (!any_right) return std::nullopt;  // nothing was run, or dense attention has nothing to lose
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

/// The prompts of every task drawn again with repetition.
Draws drawn_again(LengthScores const& scores, Random& random) {
  Draws draws = everything(scores);
  for (auto& task : draws) {
    auto const count = static_cast<std::int64_t>(task.size());
    for (std::size_t& prompt : task) prompt = static_cast<std::size_t>(random.below(count));
  }
  return draws;
}

/// The middle 95 % of some values, which it sorts; {0, 0} without any.
std::pair<double, double> interval_of(std::vector<double>& values) {
  if (values.empty()) return {0.0, 0.0};
  std::sort(values.begin(), values.end());
  auto const last = static_cast<double>(values.size() - 1);
  return {values[static_cast<std::size_t>(0.025 * last)], values[static_cast<std::size_t>(0.975 * last + 0.5)]};
}

std::vector<LengthScores> all_scores(Grid const& grid, Where const& where, std::vector<std::int64_t> const& lengths) {
  std::vector<LengthScores> scores;
  for (std::int64_t length : lengths.empty() ? grid.lengths(where) : lengths)
    if (auto one = scores_of(grid, where, length)) scores.push_back(std::move(*one));
  return scores;
}

/// The error when so many tokens are read, between budgets on a line of ln density; nothing below what was measured,
/// but for a tenth: budgets are met to a tenth.
std::optional<double> error_at(LengthScores const& scores, std::vector<double> const& errors, double tokens) {
  double const density = tokens / static_cast<double>(scores.length);
  if (density >= 1.0) return errors.back();
  if (density < 0.9 * scores.densities.front()) return std::nullopt;
  for (std::size_t at = 1; at < errors.size(); ++at) {
    if (density >= scores.densities[at]) continue;
    double const low = std::log(scores.densities[at - 1]), high = std::log(scores.densities[at]);
    double const share = std::clamp((std::log(density) - low) / std::max(high - low, 1e-12), 0.0, 1.0);
    return errors[at - 1] + share * (errors[at] - errors[at - 1]);
  }
  return errors.back();
}

BudgetLaw law_of(Line const& line, double error) {
  return {.error = error, .scale = std::exp(line.intercept), .exponent = line.slope, .lengths = line.points};
}

/// The number of tokens by the law, by the share and by the number that it gives at the longest length it was fitted
/// to.
std::array<double, 3> tokens_by(BudgetLaw const& law, std::int64_t fitted, std::int64_t length) {
  auto const here = static_cast<double>(length), before = static_cast<double>(fitted);
  return {law.tokens(here), law.tokens(before) * here / before, law.tokens(before)};
}

}  // namespace

double BudgetLaw::tokens(double length) const { return scale * std::pow(length, exponent); }

std::string budget_of(BudgetLaw const& law, std::int64_t reference) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.1f@%lld^%.3f", law.tokens(static_cast<double>(reference)),
                static_cast<long long>(reference), std::clamp(law.exponent, 0.0, 1.0));
  return text.data();
}

std::optional<BudgetLaw> fit_budget_law(Grid const& grid, Where const& where, double error,
                                        std::vector<std::int64_t> const& lengths, std::int64_t resamples,
                                        std::uint64_t seed) {
  std::vector<LengthScores> const scores = all_scores(grid, where, lengths);
  Line const line = line_through(scores, error, everything);
  if (line.points < 2) return std::nullopt;
  BudgetLaw law = law_of(line, error);
  Random random(seed, "budget law", 0);
  std::vector<double> exponents;
  for (std::int64_t i = 0; i < resamples; ++i) {
    Line const drawn = line_through(scores, error, [&](LengthScores const& one) { return drawn_again(one, random); });
    if (drawn.points == line.points) exponents.push_back(drawn.slope);
  }
  law.resamples = static_cast<std::int64_t>(exponents.size());
  law.low = law.high = law.exponent;
  if (!exponents.empty()) std::tie(law.low, law.high) = interval_of(exponents);
  return law;
}

std::optional<BudgetCheck> check_budget_law(Grid const& grid, Where const& where, double error, std::int64_t resamples,
                                            std::uint64_t seed) {
  std::vector<LengthScores> scores = all_scores(grid, where, {});
  if (scores.size() < 3) return std::nullopt;
  LengthScores const longest = std::move(scores.back());
  scores.pop_back();
  std::vector<std::int64_t> fitted;
  for (LengthScores const& one : scores) fitted.push_back(one.length);
  auto const law = fit_budget_law(grid, where, error, fitted, resamples, seed);
  if (!law) return std::nullopt;
  BudgetCheck check{.law = *law, .length = longest.length};
  std::array<std::optional<BudgetCheck::Error>, 3> found;
  std::array<std::vector<double>, 3> drawn_errors;
  auto const add = [&](BudgetLaw const& by, Draws const& draws, auto const& take) {
    std::vector<double> const errors = errors_of(longest, draws);
    std::array<double, 3> const tokens = tokens_by(by, fitted.back(), longest.length);
    for (std::size_t way = 0; way < 3; ++way)
      if (auto const at = error_at(longest, errors, tokens[way])) take(way, tokens[way], *at);
  };
  add(*law, everything(longest), [&](std::size_t way, double tokens, double at) {
    found[way] = BudgetCheck::Error{tokens, at, at, at};
  });
  Random random(seed, "budget check", 0);
  for (std::int64_t i = 0; i < resamples; ++i) {
    Line const drawn = line_through(scores, error, [&](LengthScores const& one) { return drawn_again(one, random); });
    if (drawn.points < 2) continue;
    add(law_of(drawn, error), drawn_again(longest, random),
        [&](std::size_t way, double, double at) { drawn_errors[way].push_back(at); });
  }
  for (std::size_t way = 0; way < 3; ++way)
    if (found[way] && !drawn_errors[way].empty())
      std::tie(found[way]->low, found[way]->high) = interval_of(drawn_errors[way]);
  if (!found[0]) return std::nullopt;
  check.fitted = *found[0];
  check.same_share = found[1];
  check.same_tokens = found[2];
  return check;
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
