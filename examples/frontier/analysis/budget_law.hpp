#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "frontier/analysis/grid.hpp"

namespace frontier {

/// How many tokens a context of a length needs: tokens = scale * length^exponent, so that the relative error against
/// dense stays at `error`. An exponent of 1 is a constant share, 0 a constant number.
struct BudgetLaw {
  double error = 0.0;
  double scale = 0.0;
  double exponent = 0.0;
  double low = 0.0;  // 95 % of the exponents that resampled prompts give
  double high = 0.0;
  std::int64_t lengths = 0;
  std::int64_t resamples = 0;  // that gave an exponent

  double tokens(double length) const;
};

/// Fits the law to the mean over tasks of one model under one method, by least squares of logarithms; the interval by
/// drawing the prompts of every task again with repetition. `lengths` empty: all that were run. Nothing where fewer
/// than two lengths have a budget at which the error is reached: a curve that stays below it, or starts above it, says
/// nothing.
std::optional<BudgetLaw> fit_budget_law(Grid const& grid, Where const& where, double error,
                                        std::vector<std::int64_t> const& lengths = {}, std::int64_t resamples = 1000,
                                        std::uint64_t seed = 1);

/// The law as --budgets takes it: "102@2048^0.5" is 102 tokens at 2,048. Exponents outside [0, 1], which are noise,
/// become the nearer of both.
std::string budget_of(BudgetLaw const& law, std::int64_t reference);

/// How a law does at a length that it was not fitted to: the longest. Beside it what people do instead, from the
/// longest length that was fitted on: the same share, and the same number of tokens.
struct BudgetCheck {
  BudgetLaw law;
  std::int64_t length = 0;
  struct Error {
    double tokens = 0.0;
    double error = 0.0;
    double low = 0.0;  // 95 % of what resampled prompts give, of the fit and of the length
    double high = 0.0;
  };
  Error fitted = {};
  std::optional<Error> same_share = {};  // nothing where fewer tokens were never read
  std::optional<Error> same_tokens = {};
};

/// Nothing with fewer than three lengths, without a law at the others, or where the law leads to fewer tokens than were
/// ever read at the longest.
std::optional<BudgetCheck> check_budget_law(Grid const& grid, Where const& where, double error,
                                            std::int64_t resamples = 1000, std::uint64_t seed = 1);

/// The relative error of the mean over tasks at one length and density; nothing where it was not measured.
std::optional<double> relative_error(Grid const& grid, Where const& where, double density);

}  // namespace frontier
