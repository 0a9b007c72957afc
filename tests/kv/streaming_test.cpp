#include "lacuna/kv/streaming.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/methods/streaming_cache.hpp"
#include "reference/attention.hpp"
#include "reference/ranking.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/method_run.hpp"

namespace {

using lacuna::StreamingCache;
using reference::Units;
using support::Data;

struct Case {
  std::int64_t sink, recent;
  std::vector<std::uint8_t> streaming;  // one per head; none: every head

  Units held(std::int64_t head, std::int64_t seen) const {
    bool const streams = streaming.empty() || streaming[static_cast<std::size_t>(head)] != 0;
    return streams ? reference::both_ends(seen, sink, recent) : reference::both_ends(seen, seen, 0);
  }
};

/// Bursts and single steps; after each the answer to the newest query is that of attention over what should be held.
template <class T = float>
void streams_like_the_oracle(Case const& rule, std::int64_t page_tokens, std::int64_t group, std::int64_t dim = 16) {
  CAPTURE(rule.sink, rule.recent, page_tokens, group, dim);
  std::int64_t const heads = 3, total = 150;
  auto const all = support::make_inputs<T>({total, total, heads, group, dim}, Data::random, 8);
  std::int64_t const pages = heads * ((total + page_tokens - 1) / page_tokens);
  support::GuardedMemory pool_memory(lacuna::PagePool<T>::bytes(pages, page_tokens, dim));
  lacuna::PagePool<T> pool(pool_memory.data(), pages, page_tokens, dim);
  support::GuardedMemory memory(StreamingCache<T>::bytes(pool, total, heads));
  lacuna::StreamingRule const given{
      rule.sink, rule.recent, {rule.streaming.empty() ? nullptr : rule.streaming.data(), {heads}, {1}}};
  StreamingCache<T> cache(pool, memory.data(), total, heads, given);
  support::Random random(4);
  for (int round = 0; round < 2; ++round) {
    std::int64_t end = 0;
    while (end < total) {
      std::int64_t const tokens = std::min(total - end, random.below(3) == 0 ? 1 + random.below(30) : 1);
      support::RowsCase<T> const rows(all, end, end + tokens);
      REQUIRE(cache.append(lacuna::Cpu{}, rows.k(), rows.v()));
      end += tokens;
      REQUIRE(cache.seen() == end);
      auto const now = support::rows_of(all, end - 1, end, end);
      support::ProblemCase<T> c(now);
      auto problem = c.problem();
      problem.kv = cache.view();
      support::MethodRun<lacuna::DuoAttention> run({}, problem);
      REQUIRE(run.run(problem, c.out()) == "");
      std::int64_t used = 0;
      for (std::int64_t head = 0; head < heads; ++head) {
        std::int64_t const held = static_cast<std::int64_t>(rule.held(head, end).size());
        REQUIRE(cache.length(head) == held);
        used += (held + page_tokens - 1) / page_tokens;
      }
      REQUIRE(pool.pages() - pool.free_pages() == used);
      auto const exact =
          reference::attend(now, [&](std::int64_t head, std::int64_t) { return rule.held(now.head_kv(head), end); });
      REQUIRE(support::explain_answer(c, exact) == "");
    }
    cache.clear();
    CHECK(pool.free_pages() == pool.pages());
  }
  CHECK((pool_memory.guards_untouched() && memory.guards_untouched()));
}

TEST_CASE("streaming cache: the first and the last tokens, whatever the pages and the bursts", "[kv]") {
  for (std::int64_t page : {1, 8, 16, 48, 256}) streams_like_the_oracle({4, 20, {}}, page, 2);
  for (std::int64_t group : {1, 3, 8}) streams_like_the_oracle({0, 7, {}}, 8, group);
  streams_like_the_oracle({3, 1, {}}, 8, 1);
  streams_like_the_oracle({50, 200, {}}, 16, 1);
}

TEST_CASE("streaming cache: retrieval heads keep everything, so heads differ in length", "[kv]") {
  for (std::int64_t page : {1, 16, 48}) {
    streams_like_the_oracle({4, 20, {1, 0, 1}}, page, 2);
    streams_like_the_oracle({4, 20, {0, 0, 0}}, page, 5);
  }
}

TEST_CASE("streaming cache: every storage type, head size and group of models", "[kv]") {
  std::int64_t const groups[] = {1, 4, 7, 8, 16}, dims[] = {32, 64, 96, 128, 256};
  for (std::size_t i = 0; i < 5; ++i) {
    streams_like_the_oracle<float>({4, 20, {1, 0, 1}}, 16, groups[i], dims[i]);
    streams_like_the_oracle<lacuna::bfloat16>({4, 20, {1, 0, 1}}, 48, groups[i], dims[(i + 2) % 5]);
    streams_like_the_oracle<lacuna::half>({4, 20, {}}, 8, groups[i], dims[(i + 4) % 5]);
  }
}

/// Attention of the newest query over keys that stand where the cache holds them, by the textbook in double.
TEST_CASE("streaming cache: positions within the cache are those of keys rotated anew", "[kv]") {
  std::int64_t const dim = 16, total = 90, sink = 3, recent = 12;
  for (bool neighbours : {false, true}) {
    std::vector<float> const own{1.0F, 0.5F, 0.3F, 0.1F, 0.05F, 0.01F, 0.003F, 0.001F};
    lacuna::Rope rope{.theta = 500.0, .neighbours = neighbours};
    if (neighbours) rope.frequencies = lacuna::dense_view<float const, 1>(own.data(), {dim / 2});
    auto const turned = [&](reference::Inputs in, auto const& q_position, auto const& k_position) {
      auto const turn = [&](double* row, std::int64_t position) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(dim / 2); ++i) {
          double const frequency = neighbours ? double{own[i]} : std::pow(500.0, -2.0 * static_cast<double>(i) / 16.0);
          double const angle = static_cast<double>(position) * frequency;
          double& x = row[neighbours ? 2 * i : i];
          double& y = row[neighbours ? 2 * i + 1 : i + 8];
          double const was = x;
          x = was * std::cos(angle) - y * std::sin(angle);
          y = was * std::sin(angle) + y * std::cos(angle);
        }
      };
      for (std::int64_t j = 0; j < in.len_k; ++j)
        for (std::int64_t h = 0; h < in.heads_kv; ++h) turn(&in.k[(j * in.heads_kv + h) * dim], k_position(h, j));
      for (std::int64_t i = 0; i < in.len_q; ++i)
        for (std::int64_t h = 0; h < in.heads_q; ++h)
          turn(&in.q[(i * in.heads_q + h) * dim], q_position(in.head_kv(h), in.position(i)));
      return in;
    };
    auto const plain = support::make_inputs<float>({total, total, 2, 2, dim}, Data::random, 5);
    auto const own_position = [](std::int64_t, std::int64_t at) { return at; };
    auto const all = turned(plain, own_position, own_position);
    std::uint8_t const streaming[] = {1, 0};
    lacuna::StreamingRule const rule{sink, recent, {streaming, {2}, {1}}, true, rope};
    support::GuardedMemory pool_memory(lacuna::PagePool<float>::bytes(60, 8, dim));
    lacuna::PagePool<float> pool(pool_memory.data(), 60, 8, dim);
    support::GuardedMemory memory(StreamingCache<float>::bytes(pool, total, 2, rule));
    StreamingCache<float> cache(pool, memory.data(), total, 2, rule);
    for (std::int64_t end = 0, tokens = 10; end < total; end += tokens, tokens = end < 60 ? 1 : 6) {
      std::int64_t const seen = std::min(end + tokens, total);
      support::RowsCase<float> const rows(all, end, seen);
      REQUIRE(cache.append(lacuna::Cpu{}, rows.k(), rows.v()));
      support::ProblemCase<float> c(support::rows_of(all, seen - 1, seen, seen));
      auto problem = c.problem();
      problem.kv = cache.view();
      support::MethodRun<lacuna::DuoAttention> run({}, problem);
      REQUIRE(run.run(problem, c.out()) == "");
      Case const held{sink, recent, {1, 0}};
      // The place of a key among those that its head holds.
      auto const place = [&](std::int64_t head, std::int64_t at) {
        return head == 1 || at < sink || seen <= sink + recent ? at : std::max(at - (seen - sink - recent), sink);
      };
      auto const now = turned(support::rows_of(plain, seen - 1, seen, seen), place, place);
      auto const exact =
          reference::attend(now, [&](std::int64_t head, std::int64_t) { return held.held(now.head_kv(head), seen); });
      CAPTURE(neighbours, seen);
      for (std::int64_t head = 0; head < 4; ++head)
        for (std::int64_t x = 0; x < dim; ++x)
          REQUIRE(c.out_at(0, head, x) == Approx(exact.out[static_cast<std::size_t>(head * dim + x)]).margin(2e-5));
    }
    cache.clear();
    CHECK((pool_memory.guards_untouched() && memory.guards_untouched()));
  }
}

TEST_CASE("streaming cache: refusals change nothing", "[kv]") {
  auto const in = support::make_inputs<float>({0, 40, 1, 1, 8}, Data::random, 1);
  support::GuardedMemory pool_memory(lacuna::PagePool<float>::bytes(2, 8, 8));
  lacuna::PagePool<float> pool(pool_memory.data(), 2, 8, 8);
  support::GuardedMemory memory(StreamingCache<float>::bytes(pool, 40, 1) + 4 * 8 * sizeof(float) + 64);
  support::RowsCase<float> const rows(in, 0, 40);
  auto const append = [&](lacuna::StreamingRule const& rule) {
    StreamingCache<float> cache(pool, memory.data(), 40, 1, rule);
    std::string const message = cache.append(lacuna::Cpu{}, rows.k(), rows.v()).message;
    cache.clear();
    return message;
  };
  CHECK(append({-1, 8, {}}) == "streaming_cache: sink_tokens must not be negative");
  CHECK(append({4, 0, {}}) == "streaming_cache: recent_tokens must be at least 1");
  CHECK(append({4, 16, {}}) == "paged_cache: the pool has too few free pages");
  CHECK(append({4, 12, {}}).empty());
  lacuna::PagePool<float> odd(pool_memory.data(), 2, 8, 7);
  StreamingCache<float> turning(odd, memory.data(), 40, 1, {4, 12, {}, true, {}});
  auto const sevens = lacuna::TensorView<float const, 3>{rows.k().data, {1, 1, 7}, {7, 7, 1}};
  CHECK(std::string(turning.append(lacuna::Cpu{}, sevens, sevens).message) ==
        "streaming_cache: dim must be even to rotate pairs of channels");
  CHECK(pool.free_pages() == 2);
}

}  // namespace
