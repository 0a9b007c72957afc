#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/dtype.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/kv_view.hpp"
#include "lacuna/core/status.hpp"

namespace lacuna {

/// Per channel minimum and maximum of the keys of each page, brought up to date for the last `new_tokens` tokens of
/// each head. With all of them it rebuilds everything; the result is the same either way. A NaN key makes its page's
/// channel NaN.
template <Storage T>
struct PageBoundsArgs {
  KvView<T> kv;
  std::int64_t new_tokens = 0;
  TensorView<T, 4> bounds;  // out [heads_kv, pages, 2, dim]; 0 is the minimum, 1 the maximum; the last axis is dense
  std::int64_t page_tokens = 0;

  Status check() const {
    if (page_tokens < 1) return Status::invalid("page_bounds: page_tokens must be at least 1", page_tokens, 1);
    if (bounds.extent(0) != kv.heads_kv || bounds.extent(2) != 2 || bounds.extent(3) != kv.dim)
      return Status::invalid("page_bounds: bounds must be [heads_kv, pages, 2, dim]", bounds.extent(3), kv.dim);
    for (std::int64_t head = 0; head < kv.heads_kv; ++head)
      if (kv.length(head) > bounds.extent(1) * page_tokens)
        return Status::invalid("page_bounds: more tokens than pages", kv.length(head), bounds.extent(1) * page_tokens);
    return {};
  }
};

/// The same for a batch, whose last `new_tokens` tokens of each head are new; pages that hold one are rebuilt from all
/// of their keys. All pointers are the device's.
template <class T>
struct PageBoundsBatchArgs {
  BatchKv<T> kv;
  std::int64_t batch = 0;
  std::int64_t max_len_k = 0;
  std::int64_t new_tokens = 0;
  TensorView<T, 5> bounds;  // out [batch, heads_kv, pages, 2, dim]; the last axis is dense
  std::int64_t page_tokens = 0;

  Status check() const {
    if (page_tokens < 1) return Status::invalid("page_bounds: page_tokens must be at least 1", page_tokens, 1);
    if (bounds.extent(0) != batch || bounds.extent(1) != kv.heads_kv || bounds.extent(3) != 2 ||
        bounds.extent(4) != kv.dim || bounds.stride(4) != 1)
      return Status::invalid("page_bounds: bounds must be [batch, heads_kv, pages, 2, dim]", bounds.extent(4), kv.dim);
    if (max_len_k > bounds.extent(2) * page_tokens)
      return Status::invalid("page_bounds: more tokens than pages", max_len_k, bounds.extent(2) * page_tokens);
    if (kv.dim % 2 != 0) return Status::invalid("page_bounds: dim must be even on the device", kv.dim, 2);
    std::int64_t strides = kv.stride_head | kv.stride_token | kv.stride_page;
    for (int axis = 0; axis < 4; ++axis) strides |= bounds.stride(axis);
    if (strides % 2 != 0)
      return Status::invalid("page_bounds: strides of keys and bounds must be even on the device", strides, 2);
    return {};
  }
};

/// The same of eight-bit keys, whose bounds are exact in T: they leave out the scale of the head, as bound_scores
/// expects.
template <class T>
struct Fp8PageBoundsBatchArgs {
  PageBoundsBatchArgs<T> pages;  // its kv says where rows lie, strides in elements; its k and v are not read
  e4m3 const* k = nullptr;
};

/// What new_k and new_v must be, of any element.
template <class Kv>
Status check_new_rows(TensorView<Kv const, 3> const& new_k, TensorView<Kv const, 3> const& new_v, bool ragged,
                      std::int64_t heads_kv, std::int64_t dim, std::int64_t tokens) {
  if (new_k.extents != new_v.extents || new_k.extent(1) != heads_kv || new_k.extent(2) != dim || new_k.stride(2) != 1 ||
      new_v.stride(2) != 1)
    return Status::invalid("append_kv: new_k and new_v must be [tokens, heads_kv, dim], the last axis dense",
                           new_k.extent(1), heads_kv);
  if (!ragged && new_k.extent(0) != tokens)
    return Status::invalid("append_kv: without cu_new every sequence must have new_tokens", new_k.extent(0), tokens);
  if (dim % 2 != 0) return Status::invalid("append_kv: dim must be even on the device", dim, 2);
  return {};
}

/// Stores new keys and values behind those that a batch holds, and brings the bounds of their pages up to date in the
/// same pass. All pointers are the device's.
template <class T>
struct AppendKvBatchArgs {
  /// lens count the new tokens already; a head with 0 gets none of them. bounds.data may be null: none are kept.
  PageBoundsBatchArgs<T> cache;
  T* k = nullptr;  // cache.kv.k and cache.kv.v, to write
  T* v = nullptr;
  TensorView<T const, 3> new_k;  // [tokens, heads_kv, dim]; the last axis is dense
  TensorView<T const, 3> new_v;
  std::int32_t const* cu_new = nullptr;  // [batch + 1], where a sequence's new tokens begin; null: new_tokens of each

  Status check() const {
    if (k != cache.kv.k || v != cache.kv.v) return Status::invalid("append_kv: k and v must be those of the cache");
    if (cache.bounds.data != nullptr)
      if (Status s = cache.check(); !s) return s;
    std::int64_t const strides = cache.kv.stride_head | cache.kv.stride_token | cache.kv.stride_page | new_k.stride(0) |
                                 new_k.stride(1) | new_v.stride(0) | new_v.stride(1);
    if (strides % 2 != 0) return Status::invalid("append_kv: strides of rows must be even on the device", strides, 2);
    return check_new_rows(new_k, new_v, cu_new != nullptr, cache.kv.heads_kv, cache.kv.dim,
                          cache.batch * cache.new_tokens);
  }
};

/// The same for a cache of eight bits: the caller has divided by the heads' scales and quantised.
template <class T>
struct AppendFp8KvBatchArgs {
  PageBoundsBatchArgs<T> cache;  // as Fp8PageBoundsBatchArgs has it; bounds.data may be null
  e4m3* k = nullptr;
  e4m3* v = nullptr;
  TensorView<e4m3 const, 3> new_k;
  TensorView<e4m3 const, 3> new_v;
  std::int32_t const* cu_new = nullptr;

  Status check() const {
    if (k == nullptr || v == nullptr) return Status::invalid("append_kv: k and v must not be null");
    if (cache.bounds.data != nullptr)
      if (Status s = cache.check(); !s) return s;
    return check_new_rows(new_k, new_v, cu_new != nullptr, cache.kv.heads_kv, cache.kv.dim,
                          cache.batch * cache.new_tokens);
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/page_bounds.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/page_bounds.cuh"
#endif
