#pragma once

#include <span>
#include <string>
#include <vector>

#include "frontier/analysis/grid.hpp"
#include "frontier/analysis/scaling_law.hpp"

namespace frontier {

/// logit(accuracy) = intercept(task) + sparsity * ln compression + bits * quantised + interaction * both, by least
/// squares. An interaction of 0 says that losses add up on the scale of log-odds; below 0, that codes of 8 bits hurt
/// more where fewer tokens are read.
struct Interaction {
  ScalingLaw::Coefficient sparsity{"ln compression", 0.0, 0.0};
  ScalingLaw::Coefficient quantised{"quantised", 0.0, 0.0};
  ScalingLaw::Coefficient both{"interaction", 0.0, 0.0};
  std::int64_t cells = 0;
  double p = 1.0;  // two-sided, of the interaction
};
/// `full` and `quantised` are methods that differ in the cache alone. Cells: tasks, lengths and budgets that both have.
/// Means of the prompts that both have, held within half a
/// prompt of 0 and 1. Throws std::invalid_argument with fewer cells than coefficients.
Interaction fit_interaction(Grid const& grid, Where where, std::string const& full, std::string const& quantised);

/// Score against bytes that a step reads, for both; whether more bits and fewer tokens, or fewer bits and more tokens,
/// is better at the same bytes.
struct ByteBalance {
  double bytes = 0.0;  // of keys, values and bounds, per step
  double full = 0.0;   // mean score
  double quantised = 0.0;
};
/// At the quantised method's budgets, the other interpolated at equal bytes; budgets without a partner are left out.
std::vector<ByteBalance> balance_bytes(Grid const& grid, Where where, std::string const& full,
                                       std::string const& quantised);

/// The scaling law of one method: fitted to everything but the largest value of an axis, judged by that.
struct HeldOutLaw {
  std::string axis;  // length, size or compression
  ScalingLaw law = {};
  struct TaskFit {
    std::string task;
    LawValidation validation = {};
    double baseline_error = 0.0;       // mean absolute error of the task's mean over what was fitted
    double without_compression = 0.0;  // the same of the law without its last term
  };
  std::vector<TaskFit> tasks = {};
  LawValidation all = {};
};
std::vector<LawCell> law_cells(Grid const& grid, std::string const& method);
/// One for each axis with at least two values left to fit. `clip` as in fit_scaling_law.
std::vector<HeldOutLaw> hold_out(std::vector<LawCell> const& cells, double clip);

}  // namespace frontier
