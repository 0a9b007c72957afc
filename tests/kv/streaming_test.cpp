#include "lacuna/kv/streaming.hpp"

#include <algorithm>
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
void streams_like_the_oracle(Case const& rule, std::int64_t page_tokens, std::int64_t group) {
  CAPTURE(rule.sink, rule.recent, page_tokens, group);
  std::int64_t const heads = 3, dim = 16, total = 150;
  auto const all = support::make_inputs<float>({total, total, heads, group, dim}, Data::random, 8);
  std::int64_t const pages = heads * ((total + page_tokens - 1) / page_tokens);
  support::GuardedMemory pool_memory(lacuna::PagePool<float>::bytes(pages, page_tokens, dim));
  lacuna::PagePool<float> pool(pool_memory.data(), pages, page_tokens, dim);
  support::GuardedMemory memory(StreamingCache<float>::bytes(pool, total, heads));
  lacuna::StreamingRule const given{
      rule.sink, rule.recent, {rule.streaming.empty() ? nullptr : rule.streaming.data(), {heads}, {1}}};
  StreamingCache<float> cache(pool, memory.data(), total, heads, given);
  support::Random random(4);
  for (int round = 0; round < 2; ++round) {
    std::int64_t end = 0;
    while (end < total) {
      std::int64_t const tokens = std::min(total - end, random.below(3) == 0 ? 1 + random.below(30) : 1);
      support::RowsCase<float> const rows(all, end, end + tokens);
      REQUIRE(cache.append(lacuna::Cpu{}, rows.k(), rows.v()));
      end += tokens;
      REQUIRE(cache.seen() == end);
      auto const now = support::rows_of(all, end - 1, end, end);
      support::ProblemCase<float> c(now);
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

TEST_CASE("streaming cache: refusals change nothing", "[kv]") {
  auto const in = support::make_inputs<float>({0, 40, 1, 1, 8}, Data::random, 1);
  support::GuardedMemory pool_memory(lacuna::PagePool<float>::bytes(2, 8, 8));
  lacuna::PagePool<float> pool(pool_memory.data(), 2, 8, 8);
  support::GuardedMemory memory(StreamingCache<float>::bytes(pool, 40, 1));
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
  CHECK(pool.free_pages() == 2);
}

}  // namespace
