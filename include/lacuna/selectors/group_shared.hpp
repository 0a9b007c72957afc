#pragma once

#include "lacuna/selectors/selector.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/candidates.cuh"
#endif

namespace lacuna {

/// Wraps a selector: one choice per KV head, from the mean of its group's scores, so that the group reads the same
/// keys. Rows of blocks are scored for each query head and then averaged, at the price of a choice per query head; of
/// the others the selector must judge groups by itself.
template <class S>
struct GroupShared {
  static constexpr bool measures_mass = kMeasuresMass<S>;

  S inner{};

  template <class U>
  std::int64_t heads(U const&, Shape const& shape) const requires detail::kSaysHeads<S, U> {
    return shape.heads_kv;
  }

  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory, Scores scores) const
      requires(WholeSelectorFor<S, U>&& kJudgesGroups<S>) {
    return inner.score(exec, unit, problem, memory, scores);
  }

  template <class U>
  void reserve(Cpu exec, U const& unit, Shape const& shape, Workspace& memory) const {
    if constexpr (StreamedUnit<U>) take_rows(exec, unit, shape, memory);
    reserve_scoring(exec, inner, unit, shape, memory);
  }
  template <StreamedUnit U, Storage T>
  Status prepare(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory) const {
    take_rows(exec, unit, shape_of(problem), memory);
    return prepare_scoring(exec, inner, unit, problem, memory);
  }
  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory, RowChunk const& chunk,
               Scores scores) const requires StreamedSelectorFor<S, U> {
    Shape const shape = shape_of(problem);
    float* const own = take_rows(exec, unit, shape, memory) + chunk.worker * row_floats(unit, shape);
    std::int64_t const group = shape.group(), wide = scores.extent(2);
    Scores const of_head = dense_view<float, 3>(own, {1, chunk.rows, wide});
    for (std::int64_t i = 0; i < group; ++i) {
      RowChunk const one{chunk.head * group + i, chunk.first_row, chunk.rows, chunk.worker};
      Status const s = inner.score(exec, unit, problem, memory, one, i == 0 ? scores : of_head);
      if (!s) return s;
      for (std::int64_t row = 0; row < chunk.rows; ++row)
        for (std::int64_t id = 0; id < wide; ++id) {
          float& sum = scores(0, row, id);
          if (i > 0) sum += of_head(0, row, id);
          if (i == group - 1) sum /= static_cast<float>(group);
        }
    }
    return {};
  }

#if LACUNA_CUDA
  template <class U, Storage T>
  Status score(Cuda exec, U const& unit, BatchProblem<T> const& problem, Workspace memory, Counts candidates,
               Scores scores) const requires(WholeSelectorFor<S, U>&& kJudgesGroups<S>) {
    return inner.score(exec, unit, problem, memory, candidates, scores);
  }
  template <class U>
  void reserve(Cuda exec, U const& unit, BatchShape const& shape, std::int64_t rows, Workspace& memory) const {
    reserve_scoring(exec, inner, unit, shape, rows, memory);
    if constexpr (StreamedUnit<U>) (void)take_heads(unit, shape.each, rows, memory);
  }
  template <class U, Storage T>
  Status score(Cuda exec, U const& unit, BatchProblem<T> const& problem, Workspace memory, BatchChunk const& chunk,
               Counts candidates, Scores scores) const requires StreamedSelectorFor<S, U> {
    Workspace own = memory;
    reserve_scoring(exec, inner, unit, shape_of(problem), chunk.rows, own);
    Scores const of_heads = take_heads(unit, shape_of(problem).each, chunk.rows, own);
    if (Status s = own.check("group_shared: the workspace is smaller than planned"); !s) return s;
    Counts const each{candidates.data, {problem.heads_q(), chunk.rows}, {0, candidates.stride(1)}};  // heads are alike
    if (Status s = inner.score(exec, unit, problem, memory, chunk, each, of_heads); !s) return s;
    return cuda::mean_of_group(exec, of_heads, candidates, scores);
  }
#endif

 private:
#if LACUNA_CUDA
  template <class U>
  static Scores take_heads(U const& unit, Shape const& shape, std::int64_t rows, Workspace& memory) {
    return memory.take<float, 3>({shape.heads_q, rows, (unit.candidates(shape.len_k) + 3) / 4 * 4});
  }
#endif

  template <class U>
  static std::int64_t row_floats(U const& unit, Shape const& shape) {
    return U::rows_at_once * unit.candidates(shape.len_k);
  }
  template <class U>
  static float* take_rows(Cpu exec, U const& unit, Shape const& shape, Workspace& memory) {
    return memory.take<float>(exec.workers * row_floats(unit, shape));
  }
};

}  // namespace lacuna
