#pragma once

#include <algorithm>
#include <cmath>

#include "lacuna/budgets/budget.hpp"
#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kernels/share_pool.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/candidates.cuh"
#include "lacuna/kernels/cuda/token_steps.cuh"
#endif

namespace lacuna {

/// Wraps a budget whose `tokens` are a number: they are meant for a head of `reference_tokens`, and grow as a power of
/// the length, tokens * (len / reference_tokens)^exponent, to the next whole unit. The Sparse Frontier (arXiv
/// 2504.17768) finds that the tokens which keep the error constant grow about like the square root of the length.
template <class B>
struct Sublinear {
  static_assert(
      requires(B budget) { budget.tokens = std::int64_t{}; }, "Sublinear: the Budget needs a member tokens to scale");

  B inner{};
  std::int64_t reference_tokens = 16384;
  double exponent = 0.5;  // in [0, 1]: 0 keeps the tokens, 1 keeps the share

  template <class U>
  Status check(U const& unit) const {
    if (reference_tokens < 1)
      return Status::invalid("sublinear: reference_tokens must be at least 1", reference_tokens, 1);
    if (Status s =
            detail::check_share(exponent, "sublinear: exponent must be in [0, 1]; value and bound are in millionths");
        !s)
      return s;
    return inner.check(unit);
  }

  template <class U>
  std::int64_t limit(U const& unit, int row, std::int64_t len) const {
    return at(unit, len).limit(unit, row, len);
  }
  template <class U>
  std::int64_t mean(U const& unit, int row, std::int64_t len) const {
    return detail::mean_units(at(unit, len), unit, row, len);
  }
  template <class U>
  Status allot(Cpu exec, U const& unit, Scores scores, Counts counts) const {
    std::int64_t longest = 0;  // candidates; the length of the heads to the unit
    if (counts.extent(1) > 0)
      for (std::int64_t head = 0; head < counts.extent(0); ++head)
        longest = std::max<std::int64_t>(longest, counts(head, 0));
    return at(unit, unit.tokens(longest)).allot(exec, unit, scores, counts);
  }

#if LACUNA_CUDA
  /// A pool by the longest head of its sequence.
  template <class U>
  Status allot(Cuda exec, U const& unit, std::int64_t batch, Scores scores, Counts counts) const requires
      requires(B const b, Growth growth) {
    b.allot(exec, unit, batch, scores, counts, growth);
  }
  { return inner.allot(exec, unit, batch, scores, counts, Growth{reference_tokens, exponent}); }
  /// By the longest head of each sequence.
  template <class U>
  Status allot(Cuda exec, U const& unit, std::int64_t batch,
               Counts counts) const requires std::same_as<B, FixedBudget> {
    return cuda::limit_by_longest(exec, batch, counts,
                                  cuda::PowerLimit{inner.tokens, reference_tokens, unit.tokens(1), exponent});
  }
  /// By each choice's own candidates: where choices are rows of queries.
  template <class U>
  Status allot(Cuda exec, U const& unit, Counts counts) const requires std::same_as<B, FixedBudget> {
    return cuda::limit_counts(exec, counts, U::rows > 1,
                              cuda::PowerLimit{inner.tokens, reference_tokens, unit.tokens(1), exponent});
  }
#endif

 private:
  template <class U>
  B at(U const& unit, std::int64_t len) const {
    double const growth = std::pow(static_cast<double>(len) / static_cast<double>(reference_tokens), exponent);
    B scaled = inner;
    // 64 * 2 may come out a little above 128: the nudge takes it for what it means.
    auto const tokens = static_cast<std::int64_t>(std::ceil(static_cast<double>(inner.tokens) * growth - 1e-6));
    scaled.tokens = unit.tokens(unit.count(std::max<std::int64_t>(tokens, 1)));
    return scaled;
  }
};

}  // namespace lacuna
