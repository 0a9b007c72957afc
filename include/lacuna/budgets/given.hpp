#pragma once

#include <algorithm>

#include "lacuna/budgets/budget.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/token_steps.cuh"
#endif

namespace lacuna {

/// As many tokens for a choice as the caller's array says at the time of the call. On the device the array lies there,
/// and what it says may change between the replays of a graph.
struct GivenBudget {
  std::int64_t most_tokens = 4096;             // no choice is given more
  TensorView<std::int32_t const, 1> tokens{};  // [choices], sequence major in a batch; or [1]: the same for all

  template <class U>
  Status check(U const& unit) const {
    if (tokens.data == nullptr || tokens.extent(0) < 1)
      return Status::invalid("given_budget: tokens must have one entry, or one per choice", tokens.extent(0), 1);
    return detail::check_tokens(unit, most_tokens);
  }

  template <class U>
  std::int64_t limit(U const& unit, int, std::int64_t) const {
    return unit.count(most_tokens);
  }

  template <class U>
  Status allot(Cpu, U const& unit, Scores scores, Counts counts) const {
    if (Status s = detail::check_counts(scores, counts); !s) return s;
    if (Status s = check_choices(counts); !s) return s;
    for (std::int64_t head = 0; head < counts.extent(0); ++head)
      for (std::int64_t row = 0; row < counts.extent(1); ++row) {
        std::int64_t const given = std::clamp<std::int64_t>(tokens(tokens.extent(0) == 1 ? 0 : head), 0, most_tokens);
        counts(head, row) = static_cast<std::int32_t>(std::min<std::int64_t>(unit.count(given), counts(head, row)));
      }
    return {};
  }
#if LACUNA_CUDA
  template <class U>
  Status allot(Cuda exec, U const& unit, Counts counts) const {
    if (Status s = check_choices(counts); !s) return s;
    return cuda::give_counts(exec, tokens, most_tokens, unit.tokens(1), counts);
  }
#endif

 private:
  Status check_choices(Counts const& counts) const {
    if (tokens.extent(0) == 1 || tokens.extent(0) == counts.extent(0)) return {};
    return Status::invalid("given_budget: tokens must have one entry, or one per choice", tokens.extent(0),
                           counts.extent(0));
  }
};

}  // namespace lacuna
