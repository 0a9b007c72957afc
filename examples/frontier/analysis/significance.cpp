#include "frontier/analysis/significance.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <unsupported/Eigen/SpecialFunctions>

#include "frontier/random.hpp"

namespace frontier {
namespace {

std::vector<double> drops_of(std::span<double const> dense, std::span<double const> sparse) {
  if (dense.size() != sparse.size()) throw std::invalid_argument("paired test: both sides must hold the same samples");
  std::vector<double> drops(dense.size());
  for (std::size_t i = 0; i < drops.size(); ++i) drops[i] = dense[i] - sparse[i];
  return drops;
}

/// With no variance at all a drop is certain or absent.
TestResult without_variance(double drop) { return {0.0, 0.0, drop > 0.0 ? 0.0 : 1.0}; }

/// The largest compression such that no point at or below it is degraded.
template <class Degraded>
double largest_prefix(std::span<CompressionPoint const> points, Degraded const& degraded) {
  double largest = 1.0;
  for (CompressionPoint const& point : points) {
    if (degraded(point)) break;
    largest = point.compression;
  }
  return largest;
}

}  // namespace

double student_tail(double t, double degrees) {
  double const tail = 0.5 * Eigen::numext::betainc(0.5 * degrees, 0.5, degrees / (degrees + t * t));
  return t >= 0.0 ? tail : 1.0 - tail;
}

double student_quantile(double level, double degrees) {
  double low = 0.0, high = 1.0;
  while (student_tail(high, degrees) > 1.0 - level) high *= 2.0;
  for (int halving = 0; halving < 100; ++halving) {
    double const middle = 0.5 * (low + high);
    (student_tail(middle, degrees) > 1.0 - level ? low : high) = middle;
  }
  return high;
}

TestResult welch(Summary const& dense, Summary const& sparse) {
  double const a = dense.variance / static_cast<double>(dense.count);
  double const b = sparse.variance / static_cast<double>(sparse.count);
  double const drop = dense.mean - sparse.mean;
  if (!(a + b > 0.0)) return without_variance(drop);
  TestResult result;
  result.t = drop / std::sqrt(a + b);
  result.degrees = (a + b) * (a + b) /
                   (a * a / static_cast<double>(dense.count - 1) + b * b / static_cast<double>(sparse.count - 1));
  result.p = student_tail(result.t, result.degrees);
  return result;
}

TestResult paired(std::span<double const> dense, std::span<double const> sparse) {
  Summary const drops = summarise(drops_of(dense, sparse));
  if (!(drops.variance > 0.0)) return without_variance(drops.mean);
  TestResult result;
  result.t = drops.mean / drops.standard_error();
  result.degrees = static_cast<double>(drops.count - 1);
  result.p = student_tail(result.t, result.degrees);
  return result;
}

double sign_flip_p(std::span<double const> dense, std::span<double const> sparse, std::int64_t flips,
                   std::uint64_t seed) {
  std::vector<double> const drops = drops_of(dense, sparse);
  double observed = 0.0;
  for (double drop : drops) observed += drop;
  double const as_large = observed - 1e-12;  // sums in another order differ in their last bits
  Random random(seed, "sign flips", 0);
  std::int64_t count = 1;
  for (std::int64_t flip = 0; flip < flips; ++flip) {
    double sum = 0.0;
    for (double drop : drops) sum += random.between(0, 1) == 0 ? drop : -drop;
    if (sum >= as_large) ++count;
  }
  return static_cast<double>(count) / static_cast<double>(flips + 1);
}

bool non_inferior(Summary const& dense, Summary const& sparse) {
  double const margin = std::max(0.02, 0.05 * dense.mean);
  double const change = sparse.mean - dense.mean;
  TestResult const test = welch(dense, sparse);
  if (test.degrees == 0.0) return change > -margin;
  double const error = std::sqrt(dense.variance / static_cast<double>(dense.count) +
                                 sparse.variance / static_cast<double>(sparse.count));
  return change - student_quantile(0.95, test.degrees) * error > -margin;
}

double detectable_difference(double variance, std::int64_t count, double alpha, double power) {
  double const degrees = 2.0 * static_cast<double>(count - 1);
  double const error = std::sqrt(2.0 * variance / static_cast<double>(count));
  return (student_quantile(1.0 - alpha, degrees) + student_quantile(power, degrees)) * error;
}

MaximumCompression maximum_compression(std::span<double const> dense, std::span<CompressionPoint const> points,
                                       double floor, double alpha) {
  Summary const whole = summarise(dense);
  auto const degraded = [&](CompressionPoint const& point) { return welch(whole, summarise(point.scores)).p < alpha; };
  MaximumCompression result;
  result.informative = whole.mean >= floor;
  double widest = 0.0;
  for (CompressionPoint const& point : points) widest = std::max(widest, summarise(point.scores).variance);
  result.detectable = detectable_difference(0.5 * (whole.variance + widest), whole.count, alpha);
  result.prefix = largest_prefix(points, degraded);
  result.paired =
      largest_prefix(points, [&](CompressionPoint const& point) { return paired(dense, point.scores).p < alpha; });
  result.non_inferior = largest_prefix(
      points, [&](CompressionPoint const& point) { return !non_inferior(whole, summarise(point.scores)); });
  for (CompressionPoint const& point : points)
    if (!degraded(point)) result.any = point.compression;
  result.censored = !points.empty() && result.prefix == points.back().compression;
  return result;
}

std::optional<double> interpolate(std::span<double const> xs, std::span<double const> ys, double x) {
  if (xs.empty() || x < xs.front() || x > xs.back()) return std::nullopt;
  auto const above = static_cast<std::size_t>(std::lower_bound(xs.begin(), xs.end(), x) - xs.begin());
  if (xs[above] == x) return ys[above];
  double const share = (x - xs[above - 1]) / (xs[above] - xs[above - 1]);
  return ys[above - 1] + share * (ys[above] - ys[above - 1]);
}

}  // namespace frontier
