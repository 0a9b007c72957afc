#include "frontier/statistics.hpp"

#include <cmath>

namespace frontier {

double Summary::standard_error() const { return count == 0 ? 0.0 : std::sqrt(variance / static_cast<double>(count)); }

Summary summarise(std::span<double const> scores) {
  Summary summary{static_cast<std::int64_t>(scores.size()), 0.0, 0.0};
  if (scores.empty()) return summary;
  auto const count = static_cast<double>(scores.size());
  for (double score : scores) summary.mean += score / count;
  if (scores.size() < 2) return summary;
  for (double score : scores) summary.variance += (score - summary.mean) * (score - summary.mean) / (count - 1.0);
  return summary;
}

}  // namespace frontier
