#pragma once

#include <algorithm>
#include <limits>

#include "lacuna/budgets/budget.hpp"
#include "lacuna/kernels/coverage.hpp"

namespace lacuna {

/// Every unit that the selector has not ruled out by a score of -inf.
struct AboveCut {
  std::int64_t floor_tokens = 1;  // the least a choice may keep
  std::int64_t most_tokens = 0;   // the most; 0: no limit

  template <class U>
  Status check(U const&) const {
    if (floor_tokens < 1) return Status::invalid("above_cut: floor_tokens must be at least 1", floor_tokens, 1);
    if (most_tokens != 0 && most_tokens < floor_tokens)
      return Status::invalid("above_cut: most_tokens must be 0 or at least floor_tokens", most_tokens, floor_tokens);
    return {};
  }

  template <class U>
  std::int64_t limit(U const& unit, int, std::int64_t len) const {
    return most_tokens == 0 ? unit.candidates(len) : std::min(unit.count(most_tokens), unit.candidates(len));
  }

  template <class U>
  Status allot(Cpu, U const& unit, Scores scores, Counts counts) const {
    if (Status s = detail::check_counts(scores, counts); !s) return s;
    for (std::int64_t head = 0; head < counts.extent(0); ++head)
      for (std::int64_t row = 0; row < counts.extent(1); ++row) {
        float const* const judged = scores.slice(head) + row * scores.stride(1);
        std::int64_t const candidates = counts(head, row);
        std::int64_t const above = std::count_if(
            judged, judged + candidates, [](float score) { return score > -std::numeric_limits<float>::infinity(); });
        std::int64_t const most = most_tokens == 0 ? candidates : std::min(candidates, unit.count(most_tokens));
        counts(head, row) = static_cast<std::int32_t>(std::min(std::max(above, unit.count(floor_tokens)), most));
      }
    return {};
  }

#if LACUNA_CUDA
  template <class U>
  Status allot(Cuda exec, U const& unit, Scores scores, Counts counts) const {
    return coverage(exec, {scores, counts, 1.0, unit.count(floor_tokens),
                           most_tokens == 0 ? 0 : unit.count(most_tokens), CoverageRule::above_cut});
  }
#endif
};

}  // namespace lacuna
