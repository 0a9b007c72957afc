#pragma once

#include <cmath>

#include "lacuna/budgets/budget.hpp"

namespace lacuna {

/// A share of the candidates' tokens, whatever the length; at least one unit.
struct Ratio {
  double share = 0.1;  // in (0, 1]

  template <class U>
  Status check(U const&) const {
    if (!(share > 0.0 && share <= 1.0))
      return Status::invalid("ratio: share must be in (0, 1]; value and bound are in millionths",
                             std::isfinite(share) ? std::llround(share * 1e6) : 0, 1000000);
    return {};
  }

  template <class U>
  std::int64_t limit(U const& unit, int, std::int64_t len) const {
    // 0.1 * 30 is a little above 3 and 0.7 * 10 a little below 7: the nudge takes both for what they mean.
    auto const tokens = static_cast<std::int64_t>(std::floor(share * static_cast<double>(len) + 1e-9));
    return std::max<std::int64_t>(unit.count(tokens), 1);
  }

  template <class U>
  Status allot(Cpu, U const& unit, Scores scores, Counts counts) const {
    return detail::allot_limits(*this, unit, scores, counts);
  }
};

}  // namespace lacuna
