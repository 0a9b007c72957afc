#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "lacuna/kv/batch_accumulating.hpp"
#include "lacuna/kv/batch_streaming.hpp"
#include "support/batch_fetch.hpp"
#include "support/catch.hpp"
#include "support/device.hpp"
#include "support/problem_case.hpp"
#include "support/random.hpp"

namespace soak_cuda_test {

using T = lacuna::bfloat16;
using Ints = std::vector<std::int32_t>;
using Pool = lacuna::BatchPagePool<T>;

constexpr std::int64_t kBatch = 5, kHeads = 2, kDim = 8, kPage = 4, kMost = 60, kMostNew = 24, kPages = 180;

/// What a token's key and value hold: whole numbers that 16 bits keep.
float key_of(std::int64_t sequence, std::int64_t position, std::int64_t head, std::int64_t x) {
  return static_cast<float>((sequence * 131 + position * 7 + head * 3 + x) % 251 - 125);
}
float value_of(std::int64_t sequence, std::int64_t position, std::int64_t head, std::int64_t x) {
  return key_of(sequence, position * 5 + 1, head, x);
}

/// The pool as the host knows it.
struct Free {
  std::int64_t pages = kPages;
};

/// A cache on the device beside a list of the positions that each head should hold, in the order of their places.
template <class Cache>
class Soak {
 public:
  template <class... Rule>
  Soak(Pool const& pool, Rule const&... rule)
      : memory_(Cache::bytes(pool, kBatch, kMost, kHeads, rule...)),
        cache_(pool, memory_.data(), kBatch, kMost, kHeads, rule...),
        pool_(pool),
        k_(kBatch * kMostNew * kHeads * kDim),
        v_(k_.size()),
        cu_(kBatch + 1),
        tokens_(kBatch * kHeads * kMost),
        counts_(kBatch * kHeads),
        lens_(kBatch * kHeads),
        ended_(kBatch),
        held_(kBatch * kHeads),
        seen_(kBatch),
        refused_(kBatch) {
    REQUIRE(cache_.reset({stream_}));
    stream_.wait();
  }
  /// Heads for which this is set are rings of so many tokens behind so many sinks.
  std::vector<bool> rings{};
  std::int64_t sinks = 0, recent = 0;

  void append(support::Random& random, Free& free) {
    Ints cu{0}, news;
    for (std::int64_t b = 0; b < kBatch; ++b) {
      std::int64_t const kind = random.below(10);
      news.push_back(static_cast<std::int32_t>(kind < 3 ? 0 : kind < 9 ? 1 : random.below(kMostNew + 1)));
      cu.push_back(cu.back() + news.back());
    }
    std::vector<T> k(k_.size(), support::poison<T>()), v(k);
    for (std::int64_t b = 0; b < kBatch; ++b)
      for (std::int64_t i = 0; i < news[at(b)]; ++i)
        for (std::int64_t h = 0; h < kHeads; ++h)
          for (std::int64_t x = 0; x < kDim; ++x) {
            std::size_t const to = at(((cu[at(b)] + i) * kHeads + h) * kDim + x);
            k[to] = support::stored<T>(key_of(b, seen_[at(b)] + i, h, x));
            v[to] = support::stored<T>(value_of(b, seen_[at(b)] + i, h, x));
          }
    k_.upload(k);
    v_.upload(v);
    cu_.upload(cu);
    auto const rows = [](T const* data) {
      return lacuna::dense_view<T const, 3>(data, {kBatch * kMostNew, kHeads, kDim});
    };
    REQUIRE(std::string(cache_.append({stream_}, {rows(k_.data()), rows(v_.data()), cu_.data(), kMostNew}).message) ==
            "");
    for (std::int64_t b = 0; b < kBatch; ++b) {
      std::vector<Ints> grown;
      std::int64_t wanted = 0;
      bool fits = true;
      for (std::int64_t h = 0; h < kHeads; ++h) {
        grown.push_back(after(b, h, news[at(b)]));
        fits = fits && std::ssize(grown.back()) <= kMost;
        wanted += pages_of(std::ssize(grown.back())) - pages_of(std::ssize(held(b, h)));
      }
      if (!fits || wanted > free.pages) {
        ++refused_[at(b)];
        continue;
      }
      free.pages -= wanted;
      seen_[at(b)] += news[at(b)];
      for (std::int64_t h = 0; h < kHeads; ++h) held(b, h) = grown[at(h)];
    }
  }

  /// Now and then all but a few, mostly one or two; some heads are left alone.
  void evict(support::Random& random, Free& free) {
    Ints tokens(tokens_.size(), -1), counts;
    for (std::int64_t b = 0; b < kBatch; ++b)
      for (std::int64_t h = 0; h < kHeads; ++h) {
        Ints& own = held(b, h);
        if (random.below(4) == 0) {
          counts.push_back(-1);
          continue;
        }
        auto const kept = random.subset(std::ssize(own), random.below(3) == 0 ? random.uniform() : 0.95);
        Ints left;
        for (std::size_t i = 0; i < kept.size(); ++i) {
          tokens[at((b * kHeads + h) * kMost) + i] = static_cast<std::int32_t>(kept[i]);
          left.push_back(own[at(kept[i])]);
        }
        counts.push_back(static_cast<std::int32_t>(kept.size()));
        free.pages += pages_of(std::ssize(own)) - pages_of(std::ssize(left));
        own = left;
      }
    tokens_.upload(tokens);
    counts_.upload(counts);
    lacuna::TokenIndex const index{lacuna::dense_view<std::int32_t, 2>(tokens_.data(), {kBatch * kHeads, kMost}),
                                   lacuna::dense_view<std::int32_t, 1>(counts_.data(), {kBatch * kHeads}),
                                   lacuna::dense_view<std::int32_t, 1>(lens_.data(), {kBatch * kHeads})};
    if constexpr (requires { cache_.retain({stream_}, index); })
      REQUIRE(std::string(cache_.retain({stream_}, index).message) == "");
  }

  void end(support::Random& random, Free& free) {
    std::vector<std::uint8_t> ended;
    for (std::int64_t b = 0; b < kBatch; ++b) {
      ended.push_back(random.below(3) == 0 ? 1 : 0);
      if (ended.back() == 0) continue;
      for (std::int64_t h = 0; h < kHeads; ++h) {
        free.pages += pages_of(std::ssize(held(b, h)));
        held(b, h).clear();
      }
      seen_[at(b)] = 0;
    }
    ended_.upload(ended);
    REQUIRE(cache_.end({stream_}, ended_.data()));
  }

  void check(bool contents) const {
    stream_.wait();
    auto const kv = cache_.view();
    auto const lens = support::fetched(kv.lens);
    for (std::size_t row = 0; row < held_.size(); ++row) REQUIRE(lens[row] == std::ssize(held_[row]));
    REQUIRE(support::fetched(cache_.refused()) == refused_);
    REQUIRE(support::fetched(cache_.seen()) == seen_);
    if (!contents) return;
    REQUIRE(memory_.guards_untouched());
    auto const table = support::fetched(kv.page_table);
    auto const pool = support::fetched(lacuna::dense_view<T const, 1>(pool_.keys(), {kPages * pool_.stride_page()}));
    auto const positions = support::fetched(kv.positions);
    auto const mass = support::fetched(kv.mass);
    for (std::int64_t b = 0; b < kBatch; ++b)
      for (std::int64_t h = 0; h < kHeads; ++h)
        for (std::int64_t place = 0; place < std::ssize(held(b, h)); ++place) {
          std::int32_t const position = held(b, h)[at(place)];
          CAPTURE(b, h, place, position);
          std::int64_t const row = (b * kHeads + h) * kv.page_table.extent(2);
          std::int64_t const from = table[at(row + place / kPage)] * pool_.stride_page() + place % kPage * kDim;
          for (std::int64_t x = 0; x < kDim; ++x) {
            REQUIRE(lacuna::to_float(pool[at(from + x)]) == key_of(b, position, h, x));
            REQUIRE(lacuna::to_float(pool[at(from + kPage * kDim + x)]) == value_of(b, position, h, x));
          }
          if (positions.empty()) continue;
          REQUIRE(positions[at((b * kHeads + h) * kMost + place)] == position);
          REQUIRE(mass[at((b * kHeads + h) * kMost + place)] == 0.0F);
        }
  }

  /// The bounds of every page are those of its keys.
  void check_bounds() const {
    auto const kv = cache_.view();
    auto const bounds = support::fetched(kv.bounds);
    for (std::int64_t b = 0; b < kBatch; ++b)
      for (std::int64_t h = 0; h < kHeads; ++h)
        for (std::int64_t page = 0; page < pages_of(std::ssize(held(b, h))); ++page)
          for (std::int64_t x = 0; x < kDim; ++x) {
            float low = 1e9F, high = -1e9F;
            for (std::int64_t t = page * kPage; t < std::min<std::int64_t>((page + 1) * kPage, std::ssize(held(b, h)));
                 ++t) {
              low = std::min(low, key_of(b, held(b, h)[at(t)], h, x));
              high = std::max(high, key_of(b, held(b, h)[at(t)], h, x));
            }
            std::int64_t const row = ((b * kHeads + h) * kv.bounds.extent(2) + page) * 2 * kDim;
            CAPTURE(b, h, page, x);
            REQUIRE(lacuna::to_float(bounds[at(row + x)]) == low);
            REQUIRE(lacuna::to_float(bounds[at(row + kDim + x)]) == high);
          }
  }

  Ints const& refused() const { return refused_; }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  static std::int64_t pages_of(std::int64_t tokens) { return (tokens + kPage - 1) / kPage; }
  Ints& held(std::int64_t b, std::int64_t h) { return held_[at(b * kHeads + h)]; }
  Ints const& held(std::int64_t b, std::int64_t h) const { return held_[at(b * kHeads + h)]; }

  /// What a head holds after `news` tokens more.
  Ints after(std::int64_t b, std::int64_t h, std::int64_t news) const {
    Ints grown = held(b, h);
    for (std::int64_t i = 0; i < news; ++i) {
      std::int64_t const position = seen_[at(b)] + i;
      if (!rings.empty() && rings[at(h)] && position >= sinks + recent)
        grown[at(sinks + (position - sinks) % recent)] = static_cast<std::int32_t>(position);
      else
        grown.push_back(static_cast<std::int32_t>(position));
    }
    return grown;
  }

  support::DeviceArray<std::byte> memory_;
  Cache cache_;
  Pool pool_;
  support::Stream stream_;
  support::DeviceArray<T> k_, v_;
  support::DeviceArray<std::int32_t> cu_, tokens_, counts_, lens_;
  support::DeviceArray<std::uint8_t> ended_;
  std::vector<Ints> held_;
  Ints seen_, refused_;
};

TEST_CASE("cuda kv soak: caches of three kinds live on one pool that is nearly empty", "[kv]") {
  char const* const asked = std::getenv("LACUNA_SOAK_STEPS");
  std::int64_t const steps = asked != nullptr ? std::atoll(asked) : 3000;
  support::DeviceArray<std::byte> const pool_memory(Pool::bytes(kPages, kPage, kDim));
  Pool const pool(pool_memory.data(), kPages, kPage, kDim);
  support::Stream const stream;
  REQUIRE(pool.reset({stream}));
  stream.wait();
  support::DeviceArray<std::uint8_t> const streaming(std::vector<std::uint8_t>{1, 0});
  Free free;
  Soak<lacuna::BatchEvictingCache<T>> evicting(pool, kPage);
  Soak<lacuna::BatchAccumulatingCache<T>> accumulating(pool);
  Soak<lacuna::BatchStreamingCache<T>> streams(
      pool, lacuna::BatchStreamingRule{.sink_tokens = 2, .recent_tokens = 9, .streaming = streaming.data()});
  streams.rings = {true, false};
  streams.sinks = 2;
  streams.recent = 9;
  support::Random random(5);
  for (std::int64_t step = 0; step < steps; ++step) {
    CAPTURE(step);
    std::int64_t const which = random.below(3), what = random.below(100);
    auto const act = [&](auto& soak, bool evicts) {
      if (what < 60)
        soak.append(random, free);
      else if (what < 96 && evicts)
        soak.evict(random, free);
      else if (what >= 96)
        soak.end(random, free);
      soak.check(step % 7 == 0);
    };
    if (which == 0) act(evicting, true);
    if (which == 1) act(accumulating, true);
    if (which == 2) act(streams, false);
    std::int32_t left = 0;
    support::cuda_check(cudaMemcpy(&left, pool.free().count, sizeof left, cudaMemcpyDeviceToHost));
    REQUIRE(left == free.pages);
    if (step % 21 != 0) continue;
    evicting.check(true);
    evicting.check_bounds();
    accumulating.check(true);
    streams.check(true);
    REQUIRE(pool_memory.guards_untouched());
  }
  std::int64_t refused = 0;
  for (Ints const& of_cache : {evicting.refused(), accumulating.refused(), streams.refused()})
    for (std::int32_t times : of_cache) refused += times;
  CHECK(refused > steps / 50);
}

}  // namespace soak_cuda_test
