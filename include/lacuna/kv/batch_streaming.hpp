#pragma once

#include "lacuna/kv/batch_paged.hpp"

#if LACUNA_CUDA

#include "lacuna/kernels/append_ring.hpp"

namespace lacuna {

/// As StreamingRule, for a batch on the device. Sinks keep their original positions.
struct BatchStreamingRule {
  std::int64_t sink_tokens = 4;
  std::int64_t recent_tokens = 1020;  // at least 1
  /// [heads_kv] on the device, the caller's, outlives the cache; null: every head streams.
  std::uint8_t const* streaming = nullptr;
};

/// As StreamingCache, for a batch on the device: it serves one query of a sequence at a time once a ring has closed.
template <Storage T>
class BatchStreamingCache : public BatchPagedCache<T> {
  using Base = BatchPagedCache<T>;

 public:
  static std::size_t bytes(BatchPagePool<T> const& pool, std::int64_t batch, std::int64_t capacity_tokens,
                           std::int64_t heads_kv, BatchStreamingRule const& = {}) {
    return Base::bytes(pool, batch, capacity_tokens, heads_kv);
  }

  /// As BatchPagedCache.
  BatchStreamingCache(BatchPagePool<T> const& pool, void* memory, std::int64_t batch, std::int64_t capacity_tokens,
                      std::int64_t heads_kv, BatchStreamingRule const& rule = {})
      : Base(pool, memory, batch, capacity_tokens, heads_kv), rule_(rule) {}

  Status append(Cuda exec, NewTokens<T> const& rows) const {
    if (rule_.sink_tokens < 0)
      return Status::invalid("streaming_cache: sink_tokens must not be negative", rule_.sink_tokens, 0);
    if (rule_.recent_tokens < 1)
      return Status::invalid("streaming_cache: recent_tokens must be at least 1", rule_.recent_tokens, 1);
    std::int64_t const ring_tokens = rule_.sink_tokens + rule_.recent_tokens;
    if (Status s = this->grow(exec, rows, ring_tokens, rule_.streaming); !s) return s;
    AppendRingArgs<T> args;
    args.kv = Base::view();
    args.kv.lens = this->served_lens();
    args.k = this->pool().keys();
    args.v = this->pool().values();
    args.batch = this->batch();
    args.new_k = rows.k;
    args.new_v = rows.v;
    args.new_tokens = this->most_of(rows);
    args.cu_new = rows.cu;
    args.before = this->before();
    args.sink_tokens = rule_.sink_tokens;
    args.ring_tokens = ring_tokens;
    args.ring_heads = rule_.streaming;
    return append_ring(exec, args);
  }

 private:
  BatchStreamingRule rule_;
};

}  // namespace lacuna

#endif
