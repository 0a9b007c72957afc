#include "frontier/analysis/effects.hpp"

#include <cmath>
#include <map>

namespace frontier {
namespace {

/// Calls f(cell) for every model, length and task that the method has.
template <class F>
void each_cell(Grid const& grid, Where const& where, F const& f) {
  for (std::string const& model : grid.models()) {
    if (!where.model.empty() && where.model != model) continue;
    for (std::int64_t length : grid.lengths(where))
      for (std::string const& task : grid.tasks(where))
        f(Where{model, task, length, where.method, where.turn, where.turns});
  }
}

}  // namespace

std::vector<CurvePoint> task_curve(Grid const& grid, Where const& where, std::vector<double> const& densities) {
  std::vector<CurvePoint> curve;
  for (double density : densities) {
    std::vector<double> means;
    double variances = 0.0;
    each_cell(grid, where, [&](Where const& cell) {
      if (grid.select(cell).empty()) return;
      if (auto const value = grid.at_density(cell, density)) {
        means.push_back(value->mean);
        variances += value->variance_of_mean;
      }
    });
    if (means.empty()) continue;
    Summary const summary = summarise(means);
    curve.push_back({density, summary.mean, std::sqrt(variances) / static_cast<double>(means.size()),
                     summary.standard_error(), summary.count});
  }
  return curve;
}

std::vector<BudgetPoint> budget_curve(Grid const& grid, Where const& where) {
  std::map<double, BudgetPoint> points;
  for (ReportRow const* row : grid.select(where)) {
    BudgetPoint& point = points[row->budget];
    point.budget = row->budget;
    point.density += row->density;
    point.mean += row->strict.mean;
    point.standard_error += row->strict.standard_error() * row->strict.standard_error();
    ++point.cells;
  }
  std::vector<BudgetPoint> curve;
  for (auto& [budget, point] : points) {
    auto const cells = static_cast<double>(point.cells);
    point.density /= cells;
    point.mean /= cells;
    point.standard_error = std::sqrt(point.standard_error) / cells;
    curve.push_back(point);
  }
  return curve;
}

std::vector<ErrorPoint> error_line(Grid const& grid, Where const& where, std::vector<std::string> const& methods,
                                   std::vector<double> const& densities) {
  std::vector<ErrorPoint> line;
  for (double density : densities) {
    ErrorPoint point{.density = density};
    for (std::string const& method : methods) {
      Where under = where;
      under.method = method;
      each_cell(grid, under, [&](Where const& cell) {
        ReportRow const* const dense = grid.dense(cell);
        if (dense == nullptr || grid.select(cell).empty()) return;
        auto const value = grid.at_density(cell, density);
        if (!value) return;
        point.dense += dense->strict.mean;
        point.sparse += value->mean;
        ++point.cells;
      });
    }
    if (!(point.dense > 0.0)) continue;  // nothing was run, or nothing is left to lose
    point.dense /= static_cast<double>(point.cells);
    point.sparse /= static_cast<double>(point.cells);
    line.push_back(point);
  }
  return line;
}

}  // namespace frontier
