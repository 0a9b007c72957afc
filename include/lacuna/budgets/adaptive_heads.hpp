#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lacuna/budgets/budget.hpp"
#include "lacuna/budgets/cut.hpp"
#include "lacuna/kernels/share_pool.hpp"

namespace lacuna {

/// One pool for all heads of the layer, which compete for it (AdaKV, arXiv 2407.11550, as in the Sparse Frontier): each
/// head is sure of a floor, and the rest goes to the best units wherever they are. Scores are compared as they come.
/// The pool is spent to the last unit; units that tie for its end go to the lower head. Where the heads of a layer are
/// spread over several machines each part shares a pool of its own, and the outcome depends on how they are spread.
struct AdaptiveHeads {
  std::int64_t tokens = 1024;  // per head on average
  double floor_share = 0.2;    // of `tokens`, in [0, 1]; anchored units stay whatever it is

  template <class U>
  Status check(U const& unit) const {
    return detail::check_pool(unit, tokens, floor_share);
  }

  template <class U>
  std::int64_t limit(U const& unit, int, std::int64_t len) const {
    return detail::pool_limit(unit, tokens, len);
  }
  template <class U>
  std::int64_t mean(U const& unit, int, std::int64_t) const {
    return unit.count(tokens);
  }

  template <class U>
  Status allot(Cpu, U const& unit, Scores scores, Counts counts) const {
    if (Status s = detail::check_counts(scores, counts); !s) return s;
    std::int64_t const units = unit.count(tokens);
    std::int64_t const share = detail::whole_share(floor_share, units);
    for (std::int64_t row = 0; row < scores.extent(1); ++row) share_pool(share, units, scores, counts, row);
    return {};
  }

#if LACUNA_CUDA
  /// The heads of each sequence share a pool; `growth` may scale it with the sequence's length.
  template <class U>
  Status allot(Cuda exec, U const& unit, std::int64_t batch, Scores scores, Counts counts, Growth growth = {}) const {
    return lacuna::share_pool(exec, {scores, counts, batch, tokens, unit.tokens(1), floor_share, growth});
  }
#endif

 private:
  /// A head keeps max(floor, units from the cut on): the floor holds its own best, so this is what the floors and one
  /// ranking of all other units would give. Anchored units are from any cut on, and need no floor of their own.
  static void share_pool(std::int64_t share, std::int64_t units, Scores scores, Counts counts, std::int64_t row) {
    std::int64_t const pool = scores.extent(0) * units;
    std::int32_t const always = detail::rank_of(std::numeric_limits<float>::infinity());
    auto const kept = [&](std::int64_t head, std::int32_t cut) {
      float const* const row_scores = scores.slice(head) + row * scores.stride(1);
      return std::max(std::min<std::int64_t>(share, counts(head, row)),
                      detail::count_from(row_scores, counts(head, row), cut));
    };
    auto const kept_by_all = [&](std::int32_t cut) {
      std::int64_t sum = 0;
      for (std::int64_t head = 0; head < scores.extent(0); ++head) sum += kept(head, cut);
      return sum;
    };
    std::int32_t const cut = detail::highest_cut([&](std::int32_t at) { return kept_by_all(at) >= pool; });
    std::int32_t const above = cut == always ? cut : cut + 1;
    std::int64_t left = pool - kept_by_all(above);
    for (std::int64_t head = 0; head < scores.extent(0); ++head) {
      std::int64_t const sure = kept(head, above);
      std::int64_t const tied = std::clamp<std::int64_t>(left, 0, kept(head, cut) - sure);
      left -= tied;
      counts(head, row) = static_cast<std::int32_t>(sure + tied);
    }
  }
};

}  // namespace lacuna
