#pragma once

#include <cstddef>
#include <string>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/methods/plan.hpp"
#include "support/memory.hpp"

namespace support {

/// One method planned for exactly one problem, in memory of exactly the planned sizes.
template <class M>
class MethodRun {
 public:
  template <class T>
  MethodRun(M const& method, lacuna::Problem<T> const& problem, lacuna::Cpu exec = {})
      : MethodRun(method, lacuna::shape_of(problem), exec) {}

  MethodRun(M const& method, lacuna::Shape const& shape, lacuna::Cpu exec)
      : method_(method),
        exec_(exec),
        plan_(method.plan(exec, shape)),
        index_memory_(plan_->index_bytes),
        scratch_(plan_->workspace_bytes) {
    lacuna::Workspace memory = index_memory_.workspace();
    if (plan_) index_ = method_.make_index(shape, memory);
  }

  /// Empty when select and attend succeed inside the planned memory.
  template <class T>
  std::string run(lacuna::Problem<T> const& problem, lacuna::AttentionOut<T> const& out) {
    if (!plan_) return plan_.status().message;
    lacuna::Status const status = method_.run(exec_, problem, scratch_.workspace(), index_, out);
    if (!status) return status.message;
    if (lacuna::Status const sound = index_.check(lacuna::shape_of(problem)); !sound) return sound.message;
    return guards_untouched() ? "" : "wrote past the planned memory";
  }

  template <class T>
  std::string select(lacuna::Problem<T> const& problem) {
    if (!plan_) return plan_.status().message;
    lacuna::Status const status = method_.select(exec_, problem, scratch_.workspace(), index_);
    if (!status) return status.message;
    if (lacuna::Status const sound = index_.check(lacuna::shape_of(problem)); !sound) return sound.message;
    return guards_untouched() ? "" : "wrote past the planned memory";
  }

  /// The same call with fewer bytes than planned.
  template <class T>
  lacuna::Status run_in(std::size_t bytes, lacuna::Problem<T> const& problem, lacuna::AttentionOut<T> const& out) {
    return method_.run(exec_, problem, scratch_.workspace(bytes), index_, out);
  }

  lacuna::Plan const& plan() const { return *plan_; }
  typename M::Index const& index() const { return index_; }
  bool guards_untouched() const { return index_memory_.guards_untouched() && scratch_.guards_untouched(); }

 private:
  M method_;
  lacuna::Cpu exec_;
  lacuna::Expected<lacuna::Plan> plan_;
  GuardedMemory index_memory_;
  GuardedMemory scratch_;
  typename M::Index index_{};
};

}  // namespace support
