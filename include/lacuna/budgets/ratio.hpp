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
    return std::max<std::int64_t>(unit.count(detail::whole_share(share, len)), 1);
  }

  template <class U>
  Status allot(Cpu, U const& unit, Scores scores, Counts counts) const {
    return detail::allot_limits(*this, unit, scores, counts);
  }
};

}  // namespace lacuna
