#include "frontier/analysis/retention.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace frontier {
namespace {

Comparison comparison_of(std::string task, double budget, Paired const& pairs,
                         std::vector<std::pair<double, double>> const& densities) {
  Comparison result{.task = std::move(task), .budget = budget};
  for (auto const& [first, second] : densities) {
    result.first_density += first / static_cast<double>(densities.size());
    result.second_density += second / static_cast<double>(densities.size());
  }
  std::vector<double> differences;
  for (std::size_t i = 0; i < pairs.first.size(); ++i) differences.push_back(pairs.second[i] - pairs.first[i]);
  Summary const summary = summarise(differences);
  result.difference = summary.mean;
  result.standard_error = summary.standard_error();
  result.count = summary.count;
  result.p_lower = paired(pairs.first, pairs.second).p;
  result.p_higher = paired(pairs.second, pairs.first).p;
  return result;
}

ReportRow const* row_at(Grid const& grid, Where where, std::string const& method, double budget) {
  where.method = method;
  for (ReportRow const* row : grid.select(where))
    if (row->budget == budget) return row;
  return nullptr;
}

}  // namespace

std::vector<Retention> retention(Grid const& grid, Where const& where) {
  std::vector<Retention> found;
  for (std::string const& model : grid.models())
    for (std::int64_t length : grid.lengths(where))
      for (std::string const& task : grid.tasks(where)) {
        Where const here{model, task, length, where.method, where.turn, where.turns};
        ReportRow const* const dense = grid.dense(here);
        if (dense == nullptr || (!where.model.empty() && where.model != model)) continue;
        std::vector<double> whole;
        std::vector<CompressionPoint> points;
        for (double budget : grid.budgets(here)) {
          Paired pairs = pair_up(*dense, *row_at(grid, here, where.method, budget));
          if (pairs.first.size() < 2) continue;
          // A row with fewer samples than dense would compare other prompts: only what all have counts.
          if (points.empty()) whole = pairs.first;
          if (pairs.first.size() == whole.size()) points.push_back({1.0 / budget, std::move(pairs.second)});
        }
        if (points.empty()) continue;
        found.push_back({model, task, length, where.method, summarise(whole).mean,
                         static_cast<std::int64_t>(whole.size()), maximum_compression(whole, points)});
      }
  return found;
}

RetentionSummary summarise(std::vector<Retention> const& tasks) {
  RetentionSummary result;
  std::vector<double> values;
  for (Retention const& task : tasks) {
    if (!task.most.informative) {
      ++result.uninformative;
      continue;
    }
    if (values.empty() || task.most.prefix < result.least) {
      result.least = task.most.prefix;
      result.least_task = task.task;
    }
    values.push_back(task.most.prefix);
  }
  Summary const summary = summarise(std::span<double const>(values));
  result.informative = summary.count;
  result.mean = summary.mean;
  result.deviation = std::sqrt(summary.variance);
  return result;
}

std::vector<Comparison> compare(Grid const& grid, Where where, std::string const& first, std::string const& second) {
  std::vector<Comparison> found;
  std::map<double, Paired> together;
  std::map<double, std::vector<std::pair<double, double>>> densities;
  std::vector<double> order;
  where.method = first;
  for (ReportRow const* row : grid.select(where)) {
    ReportRow const* const other =
        row_at(grid, {row->model, row->task, row->length, {}, row->turn, row->turns}, second, row->budget);
    if (other == nullptr) continue;
    Paired const pairs = pair_up(*row, *other);
    if (pairs.first.size() < 2) continue;
    found.push_back(comparison_of(row->task, row->budget, pairs, {{row->density, other->density}}));
    densities[row->budget].push_back({row->density, other->density});
    if (!together.contains(row->budget)) order.push_back(row->budget);
    Paired& all = together[row->budget];
    all.first.insert(all.first.end(), pairs.first.begin(), pairs.first.end());
    all.second.insert(all.second.end(), pairs.second.begin(), pairs.second.end());
  }
  for (double budget : order) found.push_back(comparison_of("", budget, together[budget], densities[budget]));
  return found;
}

}  // namespace frontier
