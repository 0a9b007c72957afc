#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <type_traits>
#include <utility>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/index/density.hpp"
#include "lacuna/methods/batch.hpp"
#include "lacuna/methods/plan.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

/// What two methods choose for the parts of a problem: part p is `second(p)` where takes_second(p), else `first(p)`.
template <class FirstIndex, class SecondIndex>
struct SplitIndex {
  TensorView<FirstIndex, 1> first;           // [parts]
  TensorView<SecondIndex, 1> second;         // [parts]
  TensorView<std::uint8_t, 1> takes_second;  // [parts]
  TensorView<std::int32_t, 1> lens;          // [parts], tokens that the KV head held when the choice was made

  std::int64_t parts() const { return takes_second.extent(0); }

  Status check(Shape const& shape) const {
    if (parts() != shape.heads_kv && parts() != shape.heads_q)
      return Status::invalid("split_index: must have one part per KV head or per query head", parts(), shape.heads_kv);
    for (std::int64_t p = 0; p < parts(); ++p) {
      if (lens(p) < 0 || lens(p) > shape.len_k)
        return Status::invalid("split_index: a part's length is beyond len_k", lens(p), shape.len_k);
      Shape const part{shape.len_q, lens(p), shape.heads_q / parts(), 1, shape.dim};
      if (Status s = takes_second(p) != 0 ? second(p).check(part) : first(p).check(part); !s) return s;
    }
    return {};
  }
};

/// The mean over the parts.
template <class FirstIndex, class SecondIndex>
double density(SplitIndex<FirstIndex, SecondIndex> const& index, std::int64_t window_tokens = 0) {
  double sum = 0.0;
  for (std::int64_t p = 0; p < index.parts(); ++p)
    sum +=
        index.takes_second(p) != 0 ? density(index.second(p), window_tokens) : density(index.first(p), window_tokens);
  return index.parts() == 0 ? 1.0 : sum / static_cast<double>(index.parts());
}

/// Which KV heads the second method is for: the caller's knowledge.
struct GivenHeads {
  TensorView<std::uint8_t const, 1> second{};  // [heads_kv], the caller's

  std::int64_t parts(Shape const& shape) const { return shape.heads_kv; }
  Status check(Shape const& shape) const {
    if (second.data == nullptr || second.extent(0) != shape.heads_kv)
      return Status::invalid("given_heads: second must say so for every KV head", second.extent(0), shape.heads_kv);
    return {};
  }
  void reserve(Cpu, Shape const&, Workspace&) const {}

  template <Storage T>
  Status choose(Cpu, Problem<T> const&, Workspace, TensorView<std::uint8_t, 1> const& takes_second) const {
    for (std::int64_t p = 0; p < takes_second.extent(0); ++p) takes_second(p) = second(p);
    return {};
  }
};

namespace detail {

/// One KV head and `heads` query heads from `first_head` on, which all read it.
template <class T>
Problem<T> heads_of_problem(Problem<T> problem, std::int64_t first_head, std::int64_t heads) {
  std::int64_t const head_kv = first_head / problem.group();
  auto const keep_one = [head_kv](auto& view) {
    if (view.data == nullptr) return;
    view.data += head_kv * view.strides[0];
    view.extents[0] = 1;
  };
  problem.q.data += first_head * problem.q.strides[1];
  problem.q.extents[1] = heads;
  if (problem.sink_logits.data != nullptr) problem.sink_logits.data += first_head * problem.sink_logits.strides[0];
  problem.sink_logits.extents[0] = heads;
  KvView<T>& kv = problem.kv;
  kv.k += head_kv * kv.stride_head;
  kv.v += head_kv * kv.stride_head;
  kv.heads_kv = 1;
  if (kv.lens != nullptr) kv.lens += head_kv;
  if (kv.page_table != nullptr) kv.page_table += head_kv * kv.table_stride;
  keep_one(kv.bounds);
  keep_one(kv.mass);
  keep_one(kv.key_codes);
  keep_one(kv.key_scales);
  keep_one(kv.positions);
  return problem;
}

template <class T>
AttentionOut<T> heads_of_out(AttentionOut<T> out, std::int64_t first_head, std::int64_t heads) {
  out.out.data += first_head * out.out.strides[1];
  out.out.extents[1] = heads;
  if (out.lse.data != nullptr) out.lse.data += first_head * out.lse.strides[1];
  out.lse.extents[1] = heads;
  return out;
}

}  // namespace detail

#if LACUNA_CUDA
namespace detail {

/// Some KV heads of every sequence of a batch, and the query heads that read them.
template <class T>
BatchProblem<T> heads_of_problem(BatchProblem<T> problem, std::int64_t first, std::int64_t heads) {
  auto const keep = [&](auto& view, int axis, std::int64_t each) {
    if (view.data != nullptr) view.data += first * each * view.strides[axis];
    view.extents[axis] = heads * each;
  };
  std::int64_t const group = problem.group();
  keep(problem.q, 1, group);
  if (problem.sink_logits.data != nullptr) keep(problem.sink_logits, 0, group);
  BatchKv<T>& kv = problem.kv;
  kv.k += first * kv.stride_head;
  kv.v += first * kv.stride_head;
  kv.heads_kv = heads;
  keep(kv.lens, 1, 1);
  if (kv.paged()) keep(kv.page_table, 1, 1);
  if (kv.bounds.data != nullptr) keep(kv.bounds, 1, 1);
  if (kv.mass.data != nullptr) keep(kv.mass, 1, 1);
  if (kv.positions.data != nullptr) keep(kv.positions, 1, 1);
  return problem;
}

}  // namespace detail

/// The same on the device, where neighbouring KV heads that take the same method are one part: a run of them.
template <class FirstIndex, class SecondIndex>
struct BatchSplitIndex {
  static constexpr std::int64_t kMostRuns = 32;
  struct Run {
    std::int64_t first_head = 0, heads = 0;
    bool takes_second = false;
    FirstIndex first{};
    SecondIndex second{};
  };

  std::array<Run, kMostRuns> runs{};
  std::int64_t count = 0;
};
#endif

/// One method for some heads of a layer and another for the rest, in one call. Who says which is who: GivenHeads by KV
/// head, or a measurement, such as Divergence, by query head. Each part is a problem of its own. A prompt's parts
/// follow each other, with all workers on each; those of a step run side by side. On the device who is who must be the
/// caller's knowledge, read by the host: GivenHeads.
template <class First, class Second, class Chooser = GivenHeads>
struct HeadSplit {
  static_assert(!forgets(First::moment) && !forgets(Second::moment),
                "HeadSplit: both methods must choose what to read, since one store cannot follow two rules of "
                "forgetting");
  using Index = SplitIndex<typename First::Index, typename Second::Index>;
  static_assert(std::is_trivially_copyable_v<typename First::Index> &&
                std::is_trivially_copyable_v<typename Second::Index>);
  template <class T>
  using Store = typename First::template Store<T>;
  static constexpr Moment moment = First::moment;

  First first{};
  Second second{};
  Chooser chooser{};

  Expected<Plan> plan(Cpu exec, Shape const& shape) const {
    if (Status s = shape.check(); !s) return s;
    if (Status s = chooser.check(shape); !s) return s;
    Workspace indices, choosing;
    (void)make_index(shape, indices);
    chooser.reserve(exec, shape, choosing);
    std::size_t bytes = choosing.used_bytes();
    auto const add = [&](Cpu crew, Shape const& part, std::size_t slices, std::size_t besides) -> Status {
      Expected<Plan> const one = first.plan(crew, part), other = second.plan(crew, part);
      if (!one) return one.status();
      if (!other) return other.status();
      std::size_t const slice = std::max(one->workspace_bytes, other->workspace_bytes);
      bytes = std::max(bytes, besides + (slices == 1 ? slice : slices * detail::whole_lines(slice)));
      return {};
    };
    Shape part = part_of(shape);
    if (!side_by_side(exec, shape))
      if (Status s = add(exec, part, 1, 0); !s) return s;
    if (exec.workers > 1) {  // steps, which a prompt's plan allows too
      auto const workers = static_cast<std::size_t>(exec.workers);
      part.len_q = std::min<std::int64_t>(part.len_q, 1);
      if (Status s = add(Cpu{}, part, workers, detail::whole_lines(workers * sizeof(Status))); !s) return s;
    }
    return Plan{indices.used_bytes(), bytes};
  }

  Index make_index(Shape const& shape, Workspace& memory) const {
    std::int64_t const parts = chooser.parts(shape);
    Index index;
    index.first = memory.take<typename First::Index, 1>({parts});
    index.second = memory.take<typename Second::Index, 1>({parts});
    index.takes_second = memory.take<std::uint8_t, 1>({parts});
    index.lens = memory.take<std::int32_t, 1>({parts});
    for (std::int64_t p = 0; p < parts; ++p) {
      auto const one = first.make_index(part_of(shape), memory);
      auto const other = second.make_index(part_of(shape), memory);
      if (index.lens.data == nullptr) continue;
      index.first(p) = one;
      index.second(p) = other;
    }
    return index;
  }

  template <Storage T>
  Status select(Cpu exec, Problem<T> const& problem, Workspace workspace, Index& index) const {
    return each_part(exec, problem, workspace, index,
                     [&](Cpu crew, auto const& method, Problem<T> const& part, Workspace memory, auto& of_part,
                         std::int64_t) { return method.select(crew, part, memory, of_part); });
  }

  template <Storage T>
  Status run(Cpu exec, Problem<T> const& problem, Workspace workspace, Index& index, AttentionOut<T> const& out) const {
    if (Status s = out.check(problem); !s) return s;
    return each_part(exec, problem, workspace, index,
                     [&](Cpu crew, auto const& method, Problem<T> const& part, Workspace memory, auto& of_part,
                         std::int64_t first_head) {
                       return method.run(crew, part, memory, of_part,
                                         detail::heads_of_out(out, first_head, part.heads_q()));
                     });
  }

#if LACUNA_CUDA
  using BatchIndex = BatchSplitIndex<typename First::Index, typename Second::Index>;

  Expected<Plan> plan(Cuda exec, BatchShape const& shape) const requires std::same_as<Chooser, GivenHeads> {
    if (Status s = shape.check(); !s) return s;
    if (Status s = check_runs(shape.each); !s) return s;
    Workspace indices;
    BatchIndex const index = make_index(shape, indices);
    Plan all{indices.used_bytes(), 0};
    for (std::int64_t r = 0; r < index.count; ++r) {
      BatchShape const part = part_of(shape, index.runs[static_cast<std::size_t>(r)].heads);
      Expected<Plan> const one =
          index.runs[static_cast<std::size_t>(r)].takes_second ? second.plan(exec, part) : first.plan(exec, part);
      if (!one) return one.status();
      all.workspace_bytes = std::max(all.workspace_bytes, one->workspace_bytes);
    }
    return all;
  }

  BatchIndex make_index(BatchShape const& shape, Workspace& memory) const requires std::same_as<Chooser, GivenHeads> {
    BatchIndex index;
    for (std::int64_t head = 0; head < shape.each.heads_kv && index.count < BatchIndex::kMostRuns;) {
      auto& run = index.runs[static_cast<std::size_t>(index.count++)];
      run.first_head = head;
      run.takes_second = chooser.second(head) != 0;
      while (head < shape.each.heads_kv && (chooser.second(head) != 0) == run.takes_second) ++head;
      run.heads = head - run.first_head;
      if (run.takes_second)
        run.second = second.make_index(part_of(shape, run.heads), memory);
      else
        run.first = first.make_index(part_of(shape, run.heads), memory);
    }
    return index;
  }

  template <Storage T>
  Status select(Cuda exec, BatchProblem<T> const& problem, Workspace workspace, BatchIndex& index) const {
    return each_run(problem, index, [&](auto const& method, BatchProblem<T> const& part, auto& of_part, std::int64_t) {
      return method.select(exec, part, workspace, of_part);
    });
  }
  template <Storage T>
  Status run(Cuda exec, BatchProblem<T> const& problem, Workspace workspace, BatchIndex& index,
             AttentionOut<T> const& out) const {
    return each_run(
        problem, index, [&](auto const& method, BatchProblem<T> const& part, auto& of_part, std::int64_t first_head) {
          return method.run(exec, part, workspace, of_part, detail::heads_of_out(out, first_head, part.heads_q()));
        });
  }
#endif

 private:
#if LACUNA_CUDA
  static BatchShape part_of(BatchShape shape, std::int64_t heads_kv) {
    shape.each.heads_q = shape.each.group() * heads_kv;
    shape.each.heads_kv = heads_kv;
    return shape;
  }
  Status check_runs(Shape const& shape) const {
    if (Status s = chooser.check(shape); !s) return s;
    std::int64_t runs = 1;
    for (std::int64_t head = 1; head < shape.heads_kv; ++head)
      runs += (chooser.second(head) != 0) != (chooser.second(head - 1) != 0);
    if (runs > BatchIndex::kMostRuns)
      return Status::invalid("head_split: on the device heads of one method must lie in at most 32 runs", runs,
                             BatchIndex::kMostRuns);
    return {};
  }
  template <Storage T, class F>
  Status each_run(BatchProblem<T> const& problem, BatchIndex& index, F const& f) const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = check_runs(shape_of(problem).each); !s) return s;
    for (std::int64_t r = 0; r < index.count; ++r) {
      auto& run = index.runs[static_cast<std::size_t>(r)];
      BatchProblem<T> const part = detail::heads_of_problem(problem, run.first_head, run.heads);
      std::int64_t const first_head = run.first_head * problem.group();
      Status const s =
          run.takes_second ? f(second, part, run.second, first_head) : f(first, part, run.first, first_head);
      if (!s) return s;
    }
    return {};
  }
#endif

  static bool side_by_side(Cpu exec, Shape const& shape) { return shape.len_q <= 1 && exec.workers > 1; }

  Shape part_of(Shape shape) const {
    shape.heads_q /= chooser.parts(shape);
    shape.heads_kv = 1;
    return shape;
  }

  template <Storage T, class F>
  Status each_part(Cpu exec, Problem<T> const& problem, Workspace workspace, Index& index, F const& f) const {
    if (Status s = problem.check(); !s) return s;
    Shape const shape = shape_of(problem);
    if (Status s = chooser.check(shape); !s) return s;
    std::int64_t const parts = chooser.parts(shape);
    if (index.parts() != parts)
      return Status::invalid("head_split: the index has another number of parts", index.parts(), parts);
    if (Status s = chooser.choose(exec, problem, workspace, index.takes_second); !s) return s;
    auto const run_part = [&](Cpu crew, std::int64_t p, Workspace memory) {
      std::int64_t const heads = shape.heads_q / parts;
      Problem<T> const part = detail::heads_of_problem(problem, p * heads, heads);
      index.lens(p) = static_cast<std::int32_t>(part.kv.length(0));
      return index.takes_second(p) != 0 ? f(crew, second, part, memory, index.second(p), p * heads)
                                        : f(crew, first, part, memory, index.first(p), p * heads);
    };
    if (!side_by_side(exec, shape)) {
      for (std::int64_t p = 0; p < parts; ++p)
        if (Status s = run_part(exec, p, workspace); !s) return s;
      return {};
    }
    Status* const complaints = workspace.take<Status>(exec.workers);
    if (Status s = workspace.check("head_split: the workspace is smaller than planned"); !s) return s;
    std::fill_n(complaints, exec.workers, Status{});
    Workspace const shared = workspace.rest();
    std::size_t const slice = shared.capacity_bytes() / static_cast<std::size_t>(exec.workers) / Workspace::kAlignment *
                              Workspace::kAlignment;
    exec.each(parts, [&](std::int64_t p, int worker) {
      Workspace const own = shared.part(static_cast<std::size_t>(worker) * slice, slice);
      if (Status const s = run_part(Cpu{}, p, own); !s) complaints[worker] = s;
    });
    for (int worker = 0; worker < exec.workers; ++worker)
      if (!complaints[worker]) return complaints[worker];
    return {};
  }
};

}  // namespace lacuna
