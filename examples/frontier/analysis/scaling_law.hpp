#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace frontier {

/// One configuration as the scaling law sees it.
struct LawCell {
  std::string task;
  double parameters = 0.0;
  double length = 0.0;
  double compression = 1.0;
  double accuracy = 0.0;  // mean score
  std::int64_t count = 0;
};

/// logit(accuracy) = intercept + offset(task) + alpha ln parameters + beta ln length + gamma ln compression, fitted by
/// least squares (The Sparse Frontier, first edition). The first task's offset is 0. Where the cells hold one value of
/// an axis alone, its slope cannot be told and is 0 with an error of infinity.
struct ScalingLaw {
  struct Coefficient {
    std::string name;
    double value = 0.0;
    double error = 0.0;  // standard error
  };
  std::vector<std::string> tasks;
  std::vector<Coefficient> coefficients;  // intercept, a task each from the second on, alpha, beta, gamma
  double clip = 0.0;                      // accuracies were held within [clip, 1 - clip]
  double r2 = 0.0;                        // in the sample, of logits
  bool exploratory = false;               // fewer than three sizes or three lengths

  double predict(LawCell const& cell) const;
};

ScalingLaw fit_scaling_law(std::span<LawCell const> cells, double clip);

/// Rank correlation, ties given their mean rank; p is two-sided, by Student's distribution on count - 2 degrees.
/// Without any spread on one side rho is 0 and p is 1.
struct RankCorrelation {
  double rho = 0.0;
  double p = 1.0;
};
RankCorrelation spearman(std::span<double const> a, std::span<double const> b);

/// How well the law foretells cells that it was not fitted to.
struct LawValidation {
  RankCorrelation ranks;
  double mean_absolute_error = 0.0;  // of accuracies
  double r2 = 0.0;                   // of accuracies; negative where the mean of the cells would do better
};
LawValidation validate(ScalingLaw const& law, std::span<LawCell const> held_out);

}  // namespace frontier
