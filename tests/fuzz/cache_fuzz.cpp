#include <algorithm>
#include <cstdlib>
#include <vector>

#include "bytes.hpp"
#include "lacuna/kv/evicting.hpp"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

/// Any order of appending and forgetting: each head holds the tokens that it should, behind whatever page table comes
/// of it, its bounds are those of its keys, and a refused call has changed nothing.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  std::int64_t const heads = bytes.number(1, 3), dim = bytes.number(1, 5), pages = bytes.number(0, 20);
  std::int64_t const page_tokens = bytes.number(1, 20), capacity = bytes.number(1, 100);
  std::int64_t const bounds_tokens = bytes.number(0, 20);
  fuzz::Scratch pool_memory(lacuna::PagePool<float>::bytes(pages, page_tokens, dim));
  lacuna::PagePool<float> pool(pool_memory.data(), pages, page_tokens, dim);
  fuzz::Scratch memory(lacuna::EvictingCache<float>::bytes(pool, capacity, heads, bounds_tokens));
  lacuna::EvictingCache<float> cache(pool, memory.data(), capacity, heads, bounds_tokens);
  std::vector<std::vector<float>> held(static_cast<std::size_t>(heads));
  float next = 1.0F;
  while (!bytes.empty()) {
    if (bytes.byte() % 2 == 0) {
      std::int64_t const tokens = bytes.number(0, 30);
      std::vector<float> rows;
      for (std::int64_t i = 0; i < tokens * heads; ++i)
        rows.insert(rows.end(), static_cast<std::size_t>(dim), next + static_cast<float>(i / heads));
      auto const view = lacuna::dense_view<float const, 3>(rows.data(), {tokens, heads, dim});
      if (cache.append(lacuna::Cpu{}, view, view)) {
        for (auto& head : held)
          for (std::int64_t i = 0; i < tokens; ++i) head.push_back(next + static_cast<float>(i));
        next += static_cast<float>(tokens);
      }
    } else {
      std::int64_t const room = bytes.number(0, 20);
      std::vector<std::int32_t> ids = bytes.ids(heads * room), counts = bytes.ids(heads), lens = bytes.ids(heads);
      if (bytes.byte() % 4 != 0)  // mostly an index that may be accepted
        for (std::int64_t head = 0; head < heads; ++head)
          lens[static_cast<std::size_t>(head)] = static_cast<std::int32_t>(held[static_cast<std::size_t>(head)].size());
      lacuna::TokenIndex const kept{lacuna::dense_view<std::int32_t, 2>(ids.data(), {heads, room}),
                                    lacuna::dense_view<std::int32_t, 1>(counts.data(), {heads}),
                                    lacuna::dense_view<std::int32_t, 1>(lens.data(), {heads})};
      if (!kept.check({0, lacuna::longest_head(cache.view()), heads, heads, dim})) continue;
      if (cache.retain(lacuna::Cpu{}, kept))
        for (std::int64_t head = 0; head < heads; ++head) {
          std::vector<float> left;
          for (std::int64_t i = 0; i < kept.counts(head); ++i)
            left.push_back(held[static_cast<std::size_t>(head)][static_cast<std::size_t>(kept.tokens(head, i))]);
          held[static_cast<std::size_t>(head)] = left;
        }
    }
    lacuna::KvView<float> const kv = cache.view();
    for (std::int64_t head = 0; head < heads; ++head) {
      auto const& tokens = held[static_cast<std::size_t>(head)];
      require(kv.length(head) == static_cast<std::int64_t>(tokens.size()));
      for (std::int64_t t = 0; t < kv.length(head); ++t)
        for (std::int64_t x = 0; x < dim; ++x) {
          require(kv.k[kv.offset(head, t) + x] == tokens[static_cast<std::size_t>(t)]);
          require(kv.v[kv.offset(head, t) + x] == tokens[static_cast<std::size_t>(t)]);
        }
      if (bounds_tokens == 0) continue;
      for (std::int64_t t = 0; t < kv.length(head); ++t) {  // tokens ascend
        std::int64_t const last = std::min((t / bounds_tokens + 1) * bounds_tokens, kv.length(head)) - 1;
        require(kv.bounds(head, t / bounds_tokens, 0, dim - 1) ==
                tokens[static_cast<std::size_t>(t / bounds_tokens * bounds_tokens)]);
        require(kv.bounds(head, t / bounds_tokens, 1, 0) == tokens[static_cast<std::size_t>(last)]);
      }
    }
  }
  return 0;
}
