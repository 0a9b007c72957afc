#include "lacuna/kv/coded_keys.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "lacuna/methods/quest_top_p.hpp"
#include "reference/attention.hpp"
#include "reference/page_attention.hpp"
#include "reference/top_mass.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"

namespace {

using lacuna::CodedKeysCache;
using lacuna::Twilight;
using reference::Units;
using support::Data;
using Cache = support::CacheCase<float, CodedKeysCache>;

/// The same sequence with keys as the nearest of 255 multiples of each key's own scale.
reference::Inputs coded(reference::Inputs in) {
  for (std::size_t key = 0; key < in.k.size(); key += static_cast<std::size_t>(in.dim)) {
    double largest = 0.0;
    for (std::int64_t x = 0; x < in.dim; ++x)
      largest = std::max(largest, std::abs(in.k[key + static_cast<std::size_t>(x)]));
    double const scale = support::round_to<float>(largest / 127.0);
    for (std::int64_t x = 0; x < in.dim; ++x) {
      double& value = in.k[key + static_cast<std::size_t>(x)];
      value = scale > 0.0 ? scale * std::nearbyint(support::round_to<float>(value / scale)) : 0.0;
    }
  }
  return in;
}

/// Candidates by true bounds, their attention by coded keys, the answer by true keys and values.
template <class T>
void decodes_like_the_oracle(std::int64_t pool_page, std::int64_t group, std::int64_t window, double cap,
                             lacuna::Cpu exec = {}) {
  CAPTURE(pool_page, group, window, cap);
  std::int64_t const prompt = 300, total = 330, dim = 24;
  auto const all = support::make_inputs<T>({total, total, 2, group, dim}, Data::random, 61);
  support::CacheCase<T, CodedKeysCache> cache(2, dim, total, pool_page, 16);
  Twilight method;
  method.selector.candidate_tokens = 160;
  method.budget = {0.6, 16, 0};
  support::MethodRun<Twilight> run(method, {1, total, 2 * group, 2, dim}, exec);
  for (std::int64_t end = prompt; end <= total; end += 3) {
    CAPTURE(end);
    REQUIRE(cache.append(all, end == prompt ? 0 : end - 3, end, exec) == "");
    auto now = support::rows_of(all, end - 1, end, end);
    now.window_tokens = window;
    now.soft_cap = cap;
    auto const estimated = coded(now);
    support::ProblemCase<T> c(now);
    auto problem = c.problem();
    problem.kv = cache.store().view();
    for (std::int64_t head = 0; head < 2; ++head)
      for (std::int64_t token = 0; token < end; ++token)
        for (std::int64_t x = 0; x < dim; ++x)
          REQUIRE(static_cast<double>(problem.kv.key_scales(head, token)) *
                      static_cast<double>(problem.kv.key_codes(head, token, x)) ==
                  Approx(estimated.key(token, head)[x]).margin(1e-6));
    REQUIRE(run.run(problem, c.out()) == "");
    for (std::int64_t head = 0; head < 2; ++head) {
      Units kept = support::units_of(run.index().pages, head, run.index().counts(head));
      kept.pop_back();
      auto scores = reference::quest_shared_scores(now, head, 16);
      for (std::size_t page = 0; page < scores.size(); ++page)
        if (now.too_old(static_cast<std::int64_t>(page) * 16 + 15, 0))
          scores[page] = -std::numeric_limits<double>::infinity();
      if (window == 0 && cap == 0.0) {
        auto const candidates = reference::top_units(scores, {}, 10);
        auto const mass = reference::page_attention(estimated, head * group, (head + 1) * group, candidates, 16);
        REQUIRE(reference::explain_selection(kept, mass, {}, reference::cover(mass, 0.6), 1e-5) == "");
      }
    }
    auto const exact = reference::attend(now, [&](std::int64_t head, std::int64_t) {
      std::int64_t const row = now.head_kv(head);
      return reference::page_keys(support::units_of(run.index().pages, row, run.index().counts(row)), 16, end);
    });
    REQUIRE(support::explain_answer(c, exact) == "");
  }
  cache.store().clear();
  CHECK(cache.pool().free_pages() == cache.pool().pages());
  CHECK(cache.guards_untouched());
}

TEST_CASE("coded keys: top-p pages by the attention that codes estimate, over any pages of the pool", "[kv]") {
  lacuna::ThreadPool pool(3);
  for (std::int64_t page : {1, 8, 16, 48, 256}) decodes_like_the_oracle<float>(page, 2, 0, 0.0);
  for (std::int64_t group : {1, 5, 8}) decodes_like_the_oracle<lacuna::bfloat16>(16, group, 0, 0.0);
  decodes_like_the_oracle<lacuna::half>(16, 3, 0, 0.0, pool.exec());
  decodes_like_the_oracle<float>(16, 2, 100, 2.0, support::backwards(3));
}

TEST_CASE("coded keys: zeros stay zeros, a NaN key has no estimate, refusals", "[kv]") {
  auto in = support::make_inputs<float>({1, 50, 1, 1, 8}, Data::random, 2);
  for (std::size_t x = 0; x < 8; ++x) in.k[x] = 0.0;
  in.k[8 + 3] = std::nan("");
  in.k[16 + 3] = -std::numeric_limits<double>::infinity();
  Cache cache(1, 8, 50, 16, 16);
  REQUIRE(cache.append(in, 0, 50) == "");
  auto const kv = cache.store().view();
  CHECK(kv.key_scales(0, 0) == 0.0F);
  CHECK(kv.key_codes(0, 0, 5) == 0);
  CHECK_FALSE(std::isfinite(kv.key_scales(0, 1)));
  CHECK_FALSE(std::isfinite(kv.key_scales(0, 2)));
  support::ProblemCase<float> c(in);
  auto problem = c.problem();
  problem.kv = kv;
  Twilight method;
  method.budget = {0.5, 16, 0};
  support::MethodRun<Twilight> run(method, problem);
  CHECK(run.select(problem) == "");
  problem.kv.key_codes.extents[1] = 49;
  CHECK(run.select(problem) == "page_mass: key_codes must be [heads_kv, capacity, dim]");
  problem.kv.key_codes = {};
  CHECK(run.select(problem) == "page_attention: the store must keep codes of its keys");
  CHECK(cache.append(in, 0, 1) == "paged_cache: no room for that many tokens");
}

}  // namespace
