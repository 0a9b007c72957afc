#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>

#include "reference/ranking.hpp"

namespace reference {

/// What each unit weighs: NaN weighs nothing.
inline UnitScores masses(UnitScores scores) {
  for (double& score : scores)
    if (!(score > 0.0)) score = 0.0;
  return scores;
}

inline double total_mass(UnitScores const& scores) {
  double total = 0.0;
  for (double mass : masses(scores)) total += mass;
  return total;
}

/// FlexPrefill's count: the smallest prefix, best first, that holds more than `share` of the mass. One unit where there
/// is no mass at all.
inline std::int64_t cover(UnitScores const& scores, double share) {
  UnitScores sorted = masses(scores);
  std::sort(sorted.begin(), sorted.end(), std::greater<>{});
  double const wanted = share * total_mass(scores);
  if (total_mass(scores) == 0.0) return 1;
  std::int64_t count = 1;
  double held = 0.0;
  for (double mass : sorted) count += (held += mass) <= wanted ? 1 : 0;
  return std::min<std::int64_t>(count, static_cast<std::int64_t>(scores.size()));
}

/// XAttention's count: the forced units, then the best others while what is held before one is less than `share`.
inline std::int64_t anchored_cover(UnitScores const& scores, Units const& forced, double share) {
  UnitScores others = masses(scores);
  double held = 0.0;
  for (std::int64_t unit : forced) {
    held += others[static_cast<std::size_t>(unit)];
    others[static_cast<std::size_t>(unit)] = -1.0;
  }
  double const wanted = share * total_mass(scores);
  std::sort(others.begin(), others.end(), std::greater<>{});
  std::int64_t count = static_cast<std::int64_t>(forced.size());
  for (double mass : others) {
    if (mass < 0.0 || held >= wanted) break;
    held += mass;
    ++count;
  }
  return count;
}

/// Softmax of logits; NaN weighs nothing.
inline UnitScores softmax(UnitScores logits, double scale) {
  double highest = -std::numeric_limits<double>::infinity(), total = 0.0;
  for (double logit : logits)
    if (!std::isnan(logit)) highest = std::max(highest, logit * scale);
  for (double& logit : logits) total += logit = std::isnan(logit) ? 0.0 : std::exp(logit * scale - highest);
  for (double& logit : logits) logit /= total;
  return logits;
}

}  // namespace reference
