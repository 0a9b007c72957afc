#pragma once

#include "lacuna/budgets/budget.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/candidates.cuh"
#endif

namespace lacuna {

/// The same number of tokens for every choice.
struct FixedBudget {
  static constexpr bool gives_its_limit = true;

  std::int64_t tokens = 1024;

  template <class U>
  Status check(U const& unit) const {
    return detail::check_tokens(unit, tokens);
  }

  template <class U>
  std::int64_t limit(U const& unit, int, std::int64_t) const {
    return unit.count(tokens);
  }

  template <class U>
  Status allot(Cpu, U const& unit, Scores scores, Counts counts) const {
    return detail::allot_limits(*this, unit, scores, counts);
  }
#if LACUNA_CUDA
  template <class U>
  Status allot(Cuda exec, U const& unit, Counts counts) const {
    return cuda::limit_counts(exec, counts, U::rows > 1, cuda::FixedLimit{{unit.count(tokens), unit.count(tokens)}});
  }
#endif
};

/// A number of columns and a number of diagonals, the same for every head.
struct FixedPair {
  std::int64_t columns = 512;
  std::int64_t diagonals = 512;

  template <detail::UnitOfPairs U>
  Status check(U const&) const {
    if (columns < 1) return Status::invalid("fixed_pair: columns must be at least 1", columns, 1);
    if (diagonals < 1) return Status::invalid("fixed_pair: diagonals must be at least 1", diagonals, 1);
    return {};
  }

  template <class U>
  std::int64_t limit(U const&, int row, std::int64_t) const {
    return row == 0 ? columns : diagonals;
  }

  template <class U>
  Status allot(Cpu, U const& unit, Scores scores, Counts counts) const {
    return detail::allot_limits(*this, unit, scores, counts);
  }
#if LACUNA_CUDA
  template <class U>
  Status allot(Cuda exec, U const&, Counts counts) const {
    return cuda::limit_counts(exec, counts, true, cuda::FixedLimit{{columns, diagonals}});
  }
#endif
};

}  // namespace lacuna
