#pragma once

#include <cstdint>
#include <type_traits>

#include "lacuna/kv/contiguous.hpp"
#include "lacuna/kv/page_pool.hpp"
#include "lacuna/kv/streaming.hpp"
#include "support/memory.hpp"

namespace support {

/// The rule of a small streaming cache, with bounds for the heads that keep everything.
inline lacuna::StreamingRule small_streaming_rule(lacuna::TensorView<std::uint8_t const, 1> const& streaming) {
  return {.sink_tokens = 4, .recent_tokens = 60, .streaming = streaming, .bounds_page_tokens = 16};
}

/// Any store of the library over guarded memory of exactly its bytes, with a pool of its own; pages and their bounds of
/// 16 tokens. `streaming` says which heads of a StreamingCache stream.
template <class T, template <class> class Store>
class StoreCase {
  static constexpr bool kContiguous = std::is_same_v<Store<T>, lacuna::ContiguousCache<T>>;
  static constexpr bool kStreaming = std::is_same_v<Store<T>, lacuna::StreamingCache<T>>;
  static constexpr std::int64_t kPageTokens = 16;

 public:
  StoreCase(std::int64_t heads_kv, std::int64_t dim, std::int64_t capacity,
            lacuna::TensorView<std::uint8_t const, 1> const& streaming)
      : pages_(heads_kv * (capacity / kPageTokens + 1)),
        pool_memory_(lacuna::PagePool<T>::bytes(pages_, kPageTokens, dim)),
        pool_(pool_memory_.data(), pages_, kPageTokens, dim),
        memory_(bytes(heads_kv, dim, capacity, streaming)),
        store_(make(heads_kv, dim, capacity, streaming)) {}

  Store<T>& store() { return store_; }
  bool guards_untouched() const { return pool_memory_.guards_untouched() && memory_.guards_untouched(); }

 private:
  using Streaming = lacuna::TensorView<std::uint8_t const, 1>;

  std::size_t bytes(std::int64_t heads_kv, std::int64_t dim, std::int64_t capacity, Streaming const& streaming) const {
    if constexpr (kContiguous)
      return Store<T>::bytes(capacity, heads_kv, dim);
    else if constexpr (kStreaming)
      return Store<T>::bytes(pool_, capacity, heads_kv, small_streaming_rule(streaming));
    else
      return Store<T>::bytes(pool_, capacity, heads_kv, kPageTokens);
  }
  Store<T> make(std::int64_t heads_kv, std::int64_t dim, std::int64_t capacity, Streaming const& streaming) {
    if constexpr (kContiguous)
      return Store<T>(memory_.data(), capacity, heads_kv, dim);
    else if constexpr (kStreaming)
      return Store<T>(pool_, memory_.data(), capacity, heads_kv, small_streaming_rule(streaming));
    else
      return Store<T>(pool_, memory_.data(), capacity, heads_kv, kPageTokens);
  }

  std::int64_t pages_;
  GuardedMemory pool_memory_;
  lacuna::PagePool<T> pool_;
  GuardedMemory memory_;
  Store<T> store_;
};

}  // namespace support
