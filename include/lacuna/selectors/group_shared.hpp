#pragma once

#include "lacuna/selectors/selector.hpp"

namespace lacuna {

/// Wraps a selector that can judge for a whole group of query heads: one choice per KV head, from the mean of the
/// group's scores, so that the group reads the same keys.
template <class S>
struct GroupShared {
  static constexpr bool measures_mass = kMeasuresMass<S>;

  S inner{};

  template <class U>
  Status check(U const& unit, Shape const& shape, std::int64_t kept) const {
    return inner.check(unit, shape, kept);
  }
  template <class U>
    requires requires(S const selector, U const unit, Shape shape) { selector.heads(unit, shape); }
  std::int64_t heads(U const&, Shape const& shape) const { return shape.heads_kv; }
  template <class U>
  bool can_judge(U const& unit, Shape const& shape) const {
    return inner.can_judge(unit, shape);
  }
  template <class U>
  void reserve(Cpu exec, U const& unit, Shape const& shape, Workspace& memory) const {
    inner.reserve(exec, unit, shape, memory);
  }
  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory, Scores scores) const {
    return inner.score(exec, unit, problem, memory, scores);
  }
};

}  // namespace lacuna
