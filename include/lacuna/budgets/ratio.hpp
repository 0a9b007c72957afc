#pragma once

#include <cmath>

#include "lacuna/budgets/budget.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/candidates.cuh"
#endif

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
#if LACUNA_CUDA
  /// A share of each choice's own candidates.
  template <class U>
  Status allot(Cuda exec, U const& unit, Counts counts) const {
    return cuda::limit_counts(exec, counts, U::rows > 1, cuda::ShareLimit{share, unit.tokens(1)});
  }
#endif
};

}  // namespace lacuna
