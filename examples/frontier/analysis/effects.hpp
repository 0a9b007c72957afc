#pragma once

#include <string>
#include <vector>

#include "frontier/analysis/grid.hpp"

namespace frontier {

/// The published grid of sparsities, those that were interpolated for the study included.
inline constexpr double kNominalSparsities[] = {0.33, 0.5, 0.6, 0.7, 0.8, 0.87, 0.9, 0.93, 0.95};

/// The mean over cells (a model, length and task each) of what was interpolated at one density.
struct CurvePoint {
  double density = 1.0;
  double mean = 0.0;
  double standard_error = 0.0;        // from the spread within cells
  double standard_error_cells = 0.0;  // from the spread between them
  std::int64_t cells = 0;
};

/// Score against density of one task under one method, mean over models and lengths; densities that no cell reaches are
/// left out. `where.method` is the method.
std::vector<CurvePoint> task_curve(Grid const& grid, Where const& where, std::vector<double> const& densities);

/// Score by nominal budget, ascending: densities and scores are means over the cells that were run at it.
struct BudgetPoint {
  double budget = 1.0;
  double density = 0.0;
  double mean = 0.0;
  double standard_error = 0.0;
  std::int64_t cells = 0;
};
std::vector<BudgetPoint> budget_curve(Grid const& grid, Where const& where);

/// What sparsity costs: how far the mean over a group of cells falls. Relative errors are ratios of means.
struct ErrorPoint {
  double density = 1.0;
  double dense = 0.0;
  double sparse = 0.0;
  std::int64_t cells = 0;

  double absolute() const { return dense - sparse; }
  double relative() const { return dense > 0.0 ? (dense - sparse) / dense : 0.0; }
};

/// One line of a figure: the cells of `where`, under each of the methods, that reach the density. Without a point where
/// dense attention scores 0: there is nothing to lose.
std::vector<ErrorPoint> error_line(Grid const& grid, Where const& where, std::vector<std::string> const& methods,
                                   std::vector<double> const& densities);

}  // namespace frontier
