#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/workspace.hpp"

namespace lacuna {

/// One sequence of a ragged batch: its problem, the index that its selection goes to, and its answer. Sequences share
/// nothing, so lengths, caches and even head counts may differ, and a sequence without queries is legal.
template <class MethodType, Storage T>
struct Sequence {
  Problem<T> problem;
  typename MethodType::Index index;
  AttentionOut<T> out;
  Status status = {};  // written by run_batch
};

namespace detail {

/// Query-key products: what decides who waits for whom.
constexpr std::int64_t sequence_work(Shape const& shape) {
  return shape.len_q * shape.len_k * shape.heads_q * shape.dim;
}

constexpr std::size_t whole_lines(std::size_t bytes) {
  return (bytes + Workspace::kAlignment - 1) / Workspace::kAlignment * Workspace::kAlignment;
}

}  // namespace detail

/// Workspace bytes for run_batch over sequences up to these shapes, in any order.
template <class MethodType>
Expected<std::size_t> plan_batch(MethodType const& method, Cpu exec, std::span<Shape const> shapes) {
  std::size_t together = 0, alone = 0;
  for (Shape const& shape : shapes) {
    auto const all = method.plan(exec, shape);
    if (!all) return all.status();
    auto const one = method.plan(Cpu{}, shape);
    if (!one) return one.status();
    together = std::max(together, all->workspace_bytes);
    alone = std::max(alone, detail::whole_lines(one->workspace_bytes));
  }
  std::size_t const order = detail::whole_lines(shapes.size() * sizeof(std::int32_t));
  return order + std::max(together, alone * static_cast<std::size_t>(exec.workers));
}

/// Runs the method over every sequence. One that is more than a worker's fair share of the batch gets all workers; the
/// others run side by side, one worker each, longest first, in the slices of the workspace. The bits are those of the
/// sequences run one by one. A sequence that is refused says so in its own status and disturbs no other; returned is
/// the first such status.
template <class MethodType, Storage T>
Status run_batch(MethodType const& method, Cpu exec, std::span<Sequence<MethodType, T>> sequences,
                 Workspace workspace) {
  if (sequences.empty()) return {};
  auto const count = static_cast<std::int64_t>(sequences.size());
  auto const work = [&](std::int64_t i) {
    return detail::sequence_work(shape_of(sequences[static_cast<std::size_t>(i)].problem));
  };
  std::int32_t* const order = workspace.take<std::int32_t>(count);
  if (Status s = workspace.check("batch: the workspace is smaller than planned"); !s) return s;
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    order[i] = static_cast<std::int32_t>(i);
    total += work(i);
  }
  std::sort(order, order + count, [&](std::int32_t a, std::int32_t b) {
    std::int64_t const left = work(a), right = work(b);
    return left != right ? left > right : a < b;
  });
  auto const run = [&](Cpu workers, std::int64_t i, Workspace memory) {
    Sequence<MethodType, T>& s = sequences[static_cast<std::size_t>(order[i])];
    s.status = method.run(workers, s.problem, memory, s.index, s.out);
  };

  std::int64_t large = 0;
  for (; large < count && work(order[large]) > total / exec.workers; ++large) run(exec, large, workspace.rest());
  std::size_t const slice = workspace.rest().capacity_bytes() / static_cast<std::size_t>(exec.workers) /
                            Workspace::kAlignment * Workspace::kAlignment;
  exec.each(count - large, [&](std::int64_t item, int worker) {
    run(Cpu{}, large + item, workspace.rest().part(static_cast<std::size_t>(worker) * slice, slice));
  });
  for (Sequence<MethodType, T> const& s : sequences)
    if (!s.status) return s.status;
  return {};
}

}  // namespace lacuna
