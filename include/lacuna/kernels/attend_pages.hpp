#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/page_index.hpp"

namespace lacuna {

/// One query per head over the kept pages of its row.
template <Storage T>
struct AttendPagesArgs {
  Problem<T> problem;  // len_q is 1
  PageIndex index;
  AttentionOut<T> out;
  Workspace scratch;  // as reserve_attend_pages takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = out.check(problem); !s) return s;
    if (problem.len_q() != 1) return Status::invalid("attend_pages: len_q must be 1", problem.len_q(), 1);
    if (index.page_tokens < 1)
      return Status::invalid("attend_pages: page_tokens must be at least 1", index.page_tokens, 1);
    if (index.rows() != problem.heads_kv() && index.rows() != problem.heads_q())
      return Status::invalid("attend_pages: the index must have one row per KV head or per query head", index.rows(),
                             problem.heads_kv());
    for (std::int64_t row = 0; row < index.rows(); ++row) {
      std::int64_t const len = problem.kv.length(row * problem.heads_kv() / index.rows());
      if (index.lens(row) != len)
        return Status::invalid("attend_pages: the index was made for another length", index.lens(row), len);
    }
    return {};
  }
};

/// A few queries per sequence over the kept pages of each row, for a whole batch. All pointers are the device's.
template <class T>
struct AttendPagesBatchArgs {
  BatchProblem<T> problem;
  /// Rows are batch * heads, sequence major, heads being heads_kv or heads_q; lens are not read. Null pages: every
  /// token that a head holds is read, and nothing else of the index matters.
  PageIndex index;
  AttentionOut<T> out;  // [tokens_q, heads_q, dim]
  Workspace scratch;    // as reserve_attend_pages takes
  /// Null, or attend_pages_tickets() of them: zero before the first call and zero again after each. With them the block
  /// that finishes a row last merges its parts; without them a second launch does.
  TensorView<std::int32_t, 1> tickets{};

  std::int64_t heads() const { return index.pages.data == nullptr ? problem.heads_kv() : index.rows() / problem.batch; }

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (out.out.extents != problem.q.extents)
      return Status::invalid("out: must have the extents of q", out.out.extent(0), problem.q.extent(0));
    if (out.out.stride(2) != 1) return Status::invalid("out: the last axis must be dense", out.out.stride(2), 1);
    if (out.out.data == nullptr && problem.tokens_q() > 0) return Status::invalid("out: must not be null");
    if (out.lse.data != nullptr && (out.lse.extent(0) != problem.tokens_q() || out.lse.extent(1) != problem.heads_q()))
      return Status::invalid("lse: must be null or [tokens_q, heads_q]", out.lse.extent(0), problem.tokens_q());
    if (index.pages.data == nullptr) return {};
    if (index.page_tokens < 1)
      return Status::invalid("attend_pages: page_tokens must be at least 1", index.page_tokens, 1);
    if (index.rows() != problem.batch * problem.heads_kv() && index.rows() != problem.batch * problem.heads_q())
      return Status::invalid("attend_pages: the index must have one row per KV head or per query head of a sequence",
                             index.rows(), problem.batch * problem.heads_kv());
    if (index.pages.stride(1) != 1)
      return Status::invalid("attend_pages: the last axis of pages must be dense", index.pages.stride(1), 1);
    return {};
  }
};

/// The same over keys and values of eight bits, a scale for each KV head: key x of head h is k[x] * k_scales[h].
template <class T>
struct AttendFp8PagesBatchArgs {
  AttendPagesBatchArgs<T> pages;  // its problem's kv says where rows lie, strides in elements; its k and v are not read
  e4m3 const* k = nullptr;
  e4m3 const* v = nullptr;
  TensorView<float const, 1> k_scales;  // [heads_kv], dense
  TensorView<float const, 1> v_scales;

  Status check() const {
    AttendPagesBatchArgs<T> sixteen_bits = pages;
    sixteen_bits.problem.kv.k = reinterpret_cast<T const*>(k);  // for the check alone
    sixteen_bits.problem.kv.v = reinterpret_cast<T const*>(v);
    if (Status s = sixteen_bits.check(); !s) return s;
    for (auto const& scales : {k_scales, v_scales})
      if (scales.data == nullptr || scales.extent(0) != pages.problem.heads_kv() || scales.stride(0) != 1)
        return Status::invalid("attend_pages: scales of eight-bit rows must be [heads_kv], dense", scales.extent(0),
                               pages.problem.heads_kv());
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/attend_pages.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/attend_pages.cuh"
#endif
