#pragma once

#include <algorithm>
#include <cstring>

#include "lacuna/index/dense_index.hpp"
#include "lacuna/index/page_index.hpp"
#include "lacuna/kv/batch_streaming.hpp"
#include "lacuna/kv/paged.hpp"
#include "lacuna/kv/rope.hpp"

namespace lacuna {

/// What the streaming heads of a cache remember: the first tokens, and the last. The others keep everything.
struct StreamingRule {
  std::int64_t sink_tokens = 4;
  std::int64_t recent_tokens = 1020;              // at least 1
  TensorView<std::uint8_t const, 1> streaming{};  // [heads_kv], the caller's, outlives the cache; null: every head is
  /// Streaming heads count positions within what they hold, as the original StreamingLLM does: `rope` turns their sinks
  /// by as many positions as have been forgotten behind them. Distances within the ring are what they were, so queries
  /// and keys keep their original positions. Else sinks keep theirs too.
  bool rerotate = false;
  Rope rope{};
  /// 0, or the tokens of the pages whose bounds are kept for the heads that keep everything; the bounds of streaming
  /// heads mean nothing.
  std::int64_t bounds_page_tokens = 0;
};

/// Pages behind a table, in which streaming heads hold at most sink_tokens + recent_tokens: the sinks, then a ring in
/// which the newest token takes the place of the oldest. So their keys are in order only until the ring closes, which
/// one query at a time does not notice, and queries of several positions must not be asked: attend to a prompt before
/// it is appended, or while it fits.
template <Storage T>
class StreamingCache : private PagedCache<T> {
  using Base = PagedCache<T>;

 public:
  using Base::length;
#if LACUNA_CUDA
  using Batch = BatchStreamingCache<T>;
#endif

  static std::size_t bytes(PagePool<T> const& pool, std::int64_t capacity_tokens, std::int64_t heads_kv,
                           StreamingRule const& rule = {}) {
    Workspace memory;
    memory.take<T>(sink_elements(pool, heads_kv, rule));
    memory.take<std::byte>(
        static_cast<std::int64_t>(Base::bytes(pool, capacity_tokens, heads_kv, rule.bounds_page_tokens)));
    return memory.used_bytes();
  }

  /// `memory` holds bytes(...), aligned to Workspace::kAlignment; it and the pool outlive the cache. No head may come
  /// to hold more than `capacity_tokens`.
  StreamingCache(PagePool<T>& pool, void* memory, std::int64_t capacity_tokens, std::int64_t heads_kv,
                 StreamingRule const& rule = {})
      : Base(pool, base_memory(memory, sink_elements(pool, heads_kv, rule)), capacity_tokens, heads_kv,
             rule.bounds_page_tokens),
        heads_kv_(heads_kv),
        rule_(rule),
        sinks_(static_cast<T*>(memory)) {}

  Status append(Cpu exec, TensorView<T const, 3> k, TensorView<T const, 3> v) {
    if (Status s = detail::check_rows(k, v, heads_kv_, this->pool().dim()); !s) return s;
    if (rule_.sink_tokens < 0)
      return Status::invalid("streaming_cache: sink_tokens must not be negative", rule_.sink_tokens, 0);
    if (rule_.recent_tokens < 1)
      return Status::invalid("streaming_cache: recent_tokens must be at least 1", rule_.recent_tokens, 1);
    if (rule_.rerotate && this->pool().dim() % 2 != 0)
      return Status::invalid("streaming_cache: dim must be even to rotate pairs of channels", this->pool().dim(), 2);
    std::int64_t const tokens = k.extent(0);
    if (Status s = this->take_pages([&](std::int64_t head) { return held(head, seen_ + tokens); }); !s) return s;
    KvView<T> const kv = Base::view();
    std::size_t const row_bytes = static_cast<std::size_t>(kv.dim) * sizeof(T);
    exec.for_work(tokens * heads_kv_ * kv.dim).each(heads_kv_, [&](std::int64_t head, int) {
      for (std::int64_t token = 0; token < tokens; ++token) {
        std::int64_t const at = kv.offset(head, place(head, seen_ + token));
        std::memcpy(this->pool().keys() + at, &k(token, head, 0), row_bytes);
        std::memcpy(this->pool().values() + at, &v(token, head, 0), row_bytes);
        if (rule_.rerotate && seen_ + token < rule_.sink_tokens)
          std::memcpy(sink(head, seen_ + token), &k(token, head, 0), row_bytes);
      }
      if (rule_.rerotate) turn_sinks(head, kv, seen_ + tokens);
      this->set_length(head, held(head, seen_ + tokens));
    });
    seen_ += tokens;
    return this->update_bounds(exec, tokens);
  }

  KvView<T> view() const { return Base::view(); }

  /// The store has its own rule: choices of what to read agree with it, and there is none of what to forget.
  Status retain(Cpu, DenseIndex const&) { return {}; }
  Status retain(Cpu, PageIndex const&) { return {}; }

  /// Tokens appended so far, forgotten ones included.
  std::int64_t seen() const { return seen_; }

  void clear() {
    Base::clear();
    seen_ = 0;
  }

 private:
  bool streams(std::int64_t head) const { return rule_.streaming.data == nullptr || rule_.streaming(head) != 0; }

  std::int64_t held(std::int64_t head, std::int64_t seen) const {
    return streams(head) ? std::min(seen, rule_.sink_tokens + rule_.recent_tokens) : seen;
  }

  /// Where the token of a position lies. Later tokens of one append overwrite earlier ones of the ring.
  std::int64_t place(std::int64_t head, std::int64_t position) const {
    if (!streams(head) || position < rule_.sink_tokens) return position;
    return rule_.sink_tokens + (position - rule_.sink_tokens) % rule_.recent_tokens;
  }

  /// From their first rotation each time: turning what was turned before would add rounding to rounding.
  void turn_sinks(std::int64_t head, KvView<T> const& kv, std::int64_t seen) {
    std::int64_t const forgotten = seen - held(head, seen);
    if (forgotten == 0) return;
    for (std::int64_t token = 0; token < rule_.sink_tokens; ++token) {
      T* const key = this->pool().keys() + kv.offset(head, token);
      std::memcpy(key, sink(head, token), static_cast<std::size_t>(kv.dim) * sizeof(T));
      rule_.rope.turn(key, kv.dim, forgotten);
    }
  }

  static std::int64_t sink_elements(PagePool<T> const& pool, std::int64_t heads_kv, StreamingRule const& rule) {
    return rule.rerotate ? heads_kv * std::max<std::int64_t>(rule.sink_tokens, 0) * pool.dim() : 0;
  }
  static void* base_memory(void* memory, std::int64_t sink_elements) {
    Workspace counting;
    counting.take<T>(sink_elements);
    counting.take<std::byte>(0);
    return static_cast<std::byte*>(memory) + counting.used_bytes();
  }
  T* sink(std::int64_t head, std::int64_t token) {
    return sinks_ + (head * rule_.sink_tokens + token) * this->pool().dim();
  }

  std::int64_t heads_kv_, seen_ = 0;
  StreamingRule rule_;
  T* sinks_;  // [heads_kv, sink_tokens, dim], keys as they came; only for turning them
};

}  // namespace lacuna
