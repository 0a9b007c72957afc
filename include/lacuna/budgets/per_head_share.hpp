#pragma once

#include <algorithm>

#include "lacuna/budgets/budget.hpp"

namespace lacuna {

/// Wraps a budget that goes by a share: each head has a share of its own, found offline (XAttention, arXiv 2503.16428,
/// with a table of thresholds). A layer's row of such a table is one of these.
template <class B>
struct PerHeadShare {
  static_assert(
      requires(B budget) { budget.share = double{}; }, "PerHeadShare: the Budget needs a member share to replace");
  static constexpr bool needs_mass = detail::kNeedsMass<B>;
  static constexpr bool before_anchors = detail::kBeforeAnchors<B>;

  B inner{};
  TensorView<float const, 1> shares{};  // [heads that choose], the caller's; inner.share counts for nothing

  template <class U>
  Status check(U const& unit) const {
    if (shares.data == nullptr || shares.extent(0) < 1)
      return Status::invalid("per_head_share: shares must be [heads]", shares.extent(0), 1);
    for (std::int64_t head = 0; head < shares.extent(0); ++head)
      if (Status s = of(head).check(unit); !s) return s;
    return {};
  }
  /// What the greediest head may be given.
  template <class U>
  std::int64_t limit(U const& unit, int row, std::int64_t len) const {
    std::int64_t most = 0;
    for (std::int64_t head = 0; head < shares.extent(0); ++head) most = std::max(most, of(head).limit(unit, row, len));
    return most;
  }
  template <class U>
  std::int64_t mean(U const& unit, int row, std::int64_t len) const {
    std::int64_t least = limit(unit, row, len);
    for (std::int64_t head = 0; head < shares.extent(0); ++head)
      least = std::min(least, detail::mean_units(of(head), unit, row, len));
    return least;
  }

  template <class U>
  Status allot(Cpu exec, U const& unit, Scores scores, Counts counts) const {
    if (Status s = detail::check_counts(scores, counts); !s) return s;
    if (Status s = check_heads(counts.extent(0)); !s) return s;
    for (std::int64_t head = 0; head < counts.extent(0); ++head) {
      Scores const of_head{scores.slice(head), {1, scores.extent(1), scores.extent(2)}, scores.strides};
      Counts const its{counts.slice(head), {1, counts.extent(1)}, counts.strides};
      if (Status s = of(head).allot(exec, unit, of_head, its); !s) return s;
    }
    return {};
  }
  /// Rows of one head, where they stream.
  template <class U>
  Status allot(Cpu exec, U const& unit, std::int64_t head, Scores scores, Counts counts) const {
    if (Status s = check_heads(head + 1); !s) return s;
    return of(head).allot(exec, unit, scores, counts);
  }

 private:
  Status check_heads(std::int64_t heads) const {
    if (heads > shares.extent(0))
      return Status::invalid("per_head_share: shares must have one entry per head of scores", shares.extent(0), heads);
    return {};
  }
  B of(std::int64_t head) const {
    B own = inner;
    own.share = static_cast<double>(shares(head));
    return own;
  }
};

}  // namespace lacuna
