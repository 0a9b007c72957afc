#pragma once

#include <algorithm>

#include "lacuna/index/dense_index.hpp"
#include "lacuna/kernels/attend_band.hpp"
#include "lacuna/kernels/attend_blocks.hpp"
#include "lacuna/kernels/attend_dense.hpp"
#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/attend_tokens.hpp"
#include "lacuna/kernels/attend_vertical_slash.hpp"

namespace lacuna {

// attend(exec, problem, index, workspace, out): exact attention over what an index keeps. The index was made for this
// problem's lengths; its own check() proves ids in range, which attend takes for granted. reserve_attend takes from
// memory what attend will take for any problem up to `shape`.

inline void reserve_attend(Cpu exec, Shape const& shape, DenseIndex const&, Workspace& memory) {
  reserve_attend_dense(exec, shape, memory);
}
inline void reserve_attend(Cpu exec, Shape const& shape, VerticalSlashIndex const& index, Workspace& memory) {
  reserve_attend_vertical_slash(exec, shape, index.heads(), index.tile, memory);
}
inline void reserve_attend(Cpu exec, Shape const& shape, BandIndex const&, Workspace& memory) {
  reserve_attend_band(exec, shape, memory);
}
inline void reserve_attend(Cpu exec, Shape const& shape, BlockIndex const& index, Workspace& memory) {
  reserve_attend_blocks(exec, shape, index.heads(), index.block_tokens, memory);
}
inline void reserve_attend(Cpu exec, Shape const& shape, PageIndex const& index, Workspace& memory) {
  reserve_attend_pages(exec, shape, index.rows(), memory);
}
inline void reserve_attend(Cpu exec, Shape const& shape, TokenIndex const&, Workspace& memory) {
  reserve_attend_tokens(exec, shape, memory);
}

template <Storage T>
Status attend(Cpu exec, Problem<T> const& problem, DenseIndex const&, Workspace workspace, AttentionOut<T> const& out) {
  return attend_dense<T>(exec, {problem, out, workspace});
}
template <Storage T>
Status attend(Cpu exec, Problem<T> const& problem, VerticalSlashIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_vertical_slash<T>(exec, {problem, index, out, workspace});
}
template <Storage T>
Status attend(Cpu exec, Problem<T> const& problem, BandIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_band<T>(exec, {problem, index, out, workspace});
}
template <Storage T>
Status attend(Cpu exec, Problem<T> const& problem, BlockIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_blocks<T>(exec, {problem, index, out, workspace});
}
template <Storage T>
Status attend(Cpu exec, Problem<T> const& problem, PageIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_pages<T>(exec, {problem, index, out, workspace});
}
template <Storage T>
Status attend(Cpu exec, Problem<T> const& problem, TokenIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_tokens<T>(exec, {problem, index, out, workspace});
}

#if LACUNA_CUDA
// The same over a batch, on the device.

namespace detail {

/// With so few queries of each sequence the kernel that splits the keys reads everything.
inline constexpr std::int64_t kFewQueries = 8;

}  // namespace detail

inline void reserve_attend(Cuda exec, BatchShape const& shape, DenseIndex const&, Workspace& memory) {
  Workspace few = memory;
  reserve_attend_dense(exec, shape, memory);
  BatchShape steps = shape;
  steps.each.len_q = std::min(shape.each.len_q, detail::kFewQueries);
  reserve_attend_pages(exec, steps, shape.each.heads_kv, few);
  if (few.used_bytes() > memory.used_bytes()) memory = few;
}
inline void reserve_attend(Cuda exec, BatchShape const& shape, VerticalSlashIndex const& index, Workspace& memory) {
  reserve_attend_vertical_slash(exec, shape, shape.batch == 0 ? 0 : index.heads() / shape.batch, index.tile,
                                index.columns.extent(1), index.diagonals.extent(1), memory);
}
inline void reserve_attend(Cuda exec, BatchShape const& shape, BandIndex const&, Workspace& memory) {
  reserve_attend_band(exec, shape, memory);
}
inline void reserve_attend(Cuda exec, BatchShape const& shape, BlockIndex const& index, Workspace& memory) {
  reserve_attend_blocks(exec, shape, index.heads(), index.block_tokens, index.room, memory);
}
inline void reserve_attend(Cuda exec, BatchShape const& shape, PageIndex const& index, Workspace& memory) {
  if (shape.batch > 0) reserve_attend_pages(exec, shape, index.rows() / shape.batch, memory);
}
inline void reserve_attend(Cuda exec, BatchShape const& shape, TokenIndex const&, Workspace& memory) {
  reserve_attend_tokens(exec, shape, memory);
}

template <Storage T>
Status attend(Cuda exec, BatchProblem<T> const& problem, DenseIndex const&, Workspace workspace,
              AttentionOut<T> const& out) {
  if (problem.max_len_q <= detail::kFewQueries)
    return attend_pages(exec, AttendPagesBatchArgs<T>{problem, {}, out, workspace});
  return attend_dense(exec, AttendDenseBatchArgs<T>{problem, out, workspace});
}
template <Storage T>
Status attend(Cuda exec, BatchProblem<T> const& problem, VerticalSlashIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_vertical_slash(exec, AttendVerticalSlashBatchArgs<T>{problem, index, out, workspace});
}
template <Storage T>
Status attend(Cuda exec, BatchProblem<T> const& problem, BandIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_band(exec, AttendBandBatchArgs<T>{problem, index, out, workspace});
}
template <Storage T>
Status attend(Cuda exec, BatchProblem<T> const& problem, BlockIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_blocks(exec, AttendBlocksBatchArgs<T>{problem, index, out, workspace});
}
template <Storage T>
Status attend(Cuda exec, BatchProblem<T> const& problem, PageIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_pages(exec, AttendPagesBatchArgs<T>{problem, index, out, workspace});
}
template <Storage T>
Status attend(Cuda exec, BatchProblem<T> const& problem, TokenIndex const& index, Workspace workspace,
              AttentionOut<T> const& out) {
  return attend_tokens(exec, AttendTokensBatchArgs<T>{problem, index, out, workspace});
}
#endif

}  // namespace lacuna
