// Our prefill kernels over lists that are given, behind a C interface, so that one Python process can time them beside
// PyTorch's on the same tensors, in turns: a part of the shared library that method_arms.cu says how to build, for
// bench/peers/prefill.py.

#include <cuda_runtime.h>

#include "lacuna/kernels/attend_blocks.hpp"
#include "lacuna/kernels/attend_dense.hpp"
#include "lacuna/kernels/attend_vertical_slash.hpp"
#include "tensors.cuh"

namespace {

using bench::Lists;
using bench::T;
using bench::Tensors;

lacuna::Workspace workspace(void* scratch, std::int64_t bytes) { return {scratch, static_cast<std::size_t>(bytes)}; }
std::int64_t bytes_of(lacuna::Workspace const& memory) { return static_cast<std::int64_t>(memory.used_bytes()); }

}  // namespace

extern "C" {

std::int64_t lacuna_dense_scratch(Tensors const* t) {
  lacuna::Workspace memory;
  lacuna::reserve_attend_dense(lacuna::Cuda{nullptr}, shape_of(bench::problem_of(*t)), memory);
  return bytes_of(memory);
}
int lacuna_dense(Tensors const* t, void* scratch, std::int64_t bytes, void* stream) {
  lacuna::AttendDenseBatchArgs<T> const args{bench::problem_of(*t), bench::out_of(*t), workspace(scratch, bytes)};
  return bench::report(lacuna::attend_dense(lacuna::Cuda{static_cast<cudaStream_t>(stream)}, args));
}

std::int64_t lacuna_blocks_scratch(Tensors const* t, Lists const* lists) {
  lacuna::Workspace memory;
  lacuna::reserve_attend_blocks(lacuna::Cuda{nullptr}, shape_of(bench::problem_of(*t)), lists->heads,
                                lists->block_tokens, lists->room, memory);
  return bytes_of(memory);
}
int lacuna_blocks(Tensors const* t, Lists const* lists, void* scratch, std::int64_t bytes, void* stream) {
  lacuna::BlockIndex index;
  index.blocks = lacuna::dense_view<std::int32_t, 2>(lists->blocks, {lists->heads, lists->rows * lists->room});
  index.counts = lacuna::dense_view<std::int32_t, 2>(lists->counts, {lists->heads, lists->rows});
  index.len_q = index.len_k = t->longest;
  index.block_tokens = lists->block_tokens;
  index.room = lists->room;
  lacuna::AttendBlocksBatchArgs<T> const args{bench::problem_of(*t), index, bench::out_of(*t),
                                              workspace(scratch, bytes)};
  return bench::report(lacuna::attend_blocks(lacuna::Cuda{static_cast<cudaStream_t>(stream)}, args));
}

/// columns and diagonals [heads, room], counts [heads, 2].
struct Slashes {
  std::int32_t *columns, *diagonals, *counts;
  std::int64_t heads, column_room, diagonal_room;
};

std::int64_t lacuna_slashes_scratch(Tensors const* t, Slashes const* slashes) {
  lacuna::Workspace memory;
  lacuna::reserve_attend_vertical_slash(lacuna::Cuda{nullptr}, shape_of(bench::problem_of(*t)), slashes->heads, 64,
                                        slashes->column_room, slashes->diagonal_room, memory);
  return bytes_of(memory);
}
int lacuna_slashes(Tensors const* t, Slashes const* slashes, void* scratch, std::int64_t bytes, void* stream) {
  lacuna::VerticalSlashIndex index;
  index.columns = lacuna::dense_view<std::int32_t, 2>(slashes->columns, {slashes->heads, slashes->column_room});
  index.diagonals = lacuna::dense_view<std::int32_t, 2>(slashes->diagonals, {slashes->heads, slashes->diagonal_room});
  index.counts = lacuna::dense_view<std::int32_t, 2>(slashes->counts, {slashes->heads, 2});
  index.len_q = index.len_k = t->longest;
  lacuna::AttendVerticalSlashBatchArgs<T> const args{bench::problem_of(*t), index, bench::out_of(*t),
                                                     workspace(scratch, bytes)};
  return bench::report(lacuna::attend_vertical_slash(lacuna::Cuda{static_cast<cudaStream_t>(stream)}, args));
}

}  // extern "C"
