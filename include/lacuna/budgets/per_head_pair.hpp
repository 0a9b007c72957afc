#pragma once

#include <algorithm>

#include "lacuna/budgets/budget.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/candidates.cuh"
#endif

namespace lacuna {

/// A number of columns and of diagonals for each head, found offline (MInference, arXiv 2407.02490: its default is
/// 1000 and 6096).
struct PerHeadPair {
  TensorView<std::int32_t const, 2> counts{};  // [heads, 2], the caller's; columns, then diagonals, all at least 1

  template <detail::UnitOfPairs U>
  Status check(U const&) const {
    if (counts.data == nullptr || counts.extent(1) != 2)
      return Status::invalid("per_head_pair: counts must be [heads, 2]", counts.extent(1), 2);
    for (std::int64_t head = 0; head < counts.extent(0); ++head)
      for (int row : {0, 1})
        if (counts(head, row) < 1)
          return Status::invalid("per_head_pair: every count must be at least 1", counts(head, row), 1);
    return {};
  }

  /// What the greediest head asks for.
  template <class U>
  std::int64_t limit(U const&, int row, std::int64_t) const {
    std::int64_t most = 1;
    for (std::int64_t head = 0; head < counts.extent(0); ++head) most = std::max<std::int64_t>(most, counts(head, row));
    return most;
  }

  template <class U>
  Status allot(Cpu, U const&, Scores scores, Counts allotted) const {
    if (Status s = detail::check_counts(scores, allotted); !s) return s;
    if (counts.extent(0) != allotted.extent(0))
      return Status::invalid("per_head_pair: counts must have one row per head of scores", counts.extent(0),
                             allotted.extent(0));
    for (std::int64_t head = 0; head < allotted.extent(0); ++head)
      for (int row : {0, 1}) allotted(head, row) = std::min(counts(head, row), allotted(head, row));
    return {};
  }

#if LACUNA_CUDA
  /// The array is the host's here too: its numbers become part of the launch.
  template <class U>
  Status allot(Cuda exec, U const&, Counts allotted) const {
    if (allotted.extent(0) == 0) return {};
    if (counts.extent(0) == 0 || allotted.extent(0) % counts.extent(0) != 0)
      return Status::invalid("per_head_pair: counts must have one row per head of scores", counts.extent(0),
                             allotted.extent(0));
    return cuda::limit_pairs(exec, counts, allotted);
  }
#endif
};

}  // namespace lacuna
