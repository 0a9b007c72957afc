#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "frontier/statistics.hpp"

namespace frontier {

/// A one-sided test of whether sparse scores are lower than dense ones.
struct TestResult {
  double t = 0.0;
  double degrees = 0.0;
  double p = 0.5;  // the chance of a drop as large as this one where there is none
};

/// P(T >= t) of Student's distribution.
double student_tail(double t, double degrees);
/// The t that a share `level` of Student's distribution lies below, for a level of at least one half.
double student_quantile(double level, double degrees);

/// Welch's test on two means with unequal variances. Without any variance p is 1 or 0, as the means say.
TestResult welch(Summary const& dense, Summary const& sparse);
/// Student's test on per-sample differences. Both spans hold the same samples in the same order.
TestResult paired(std::span<double const> dense, std::span<double const> sparse);
/// The same question by flipping the signs of the differences at random: the share of `flips` whose mean drop is at
/// least the one observed, the observed one counted among them.
double sign_flip_p(std::span<double const> dense, std::span<double const> sparse, std::int64_t flips,
                   std::uint64_t seed);
/// Whether the lower 95 % bound of sparse - dense stays above -max(0.02, 0.05 * dense mean).
bool non_inferior(Summary const& dense, Summary const& sparse);

/// The smallest drop that Welch's test at `alpha` finds with this power, for two means of `count` scores each of which
/// has this variance.
double detectable_difference(double variance, std::int64_t count, double alpha = 0.05, double power = 0.8);

/// The scores of one task and length at one compression.
struct CompressionPoint {
  double compression = 1.0;
  std::vector<double> scores;  // per sample, the same samples at every compression
};

/// How far one task can be compressed before its score drops significantly. 1: not at all; the last point's compression
/// with `censored` set: no drop was found.
struct MaximumCompression {
  double prefix = 1.0;        // none at or below it is degraded (Welch)
  double any = 1.0;           // the largest that is not degraded (Welch)
  double paired = 1.0;        // as prefix, by differences of the same samples
  double non_inferior = 1.0;  // as prefix, where a drop must be shown to be small
  bool censored = false;      // of prefix
  bool informative = true;    // false where dense itself hardly scores: such a task is left out of means
  double detectable = 0.0;    // a true drop below this is likely to stay unseen, by the widest variance of any point
};
/// `points` ascend in compression and do not contain dense. `floor` is the dense score below which a task says nothing.
MaximumCompression maximum_compression(std::span<double const> dense, std::span<CompressionPoint const> points,
                                       double floor = 0.05, double alpha = 0.05);

/// y at x on the broken line through the points, ascending in x; nothing outside of them.
std::optional<double> interpolate(std::span<double const> xs, std::span<double const> ys, double x);

}  // namespace frontier
