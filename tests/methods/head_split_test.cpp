#include "lacuna/methods/head_split.hpp"

#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "lacuna/methods/duo_attention.hpp"
#include "lacuna/methods/pipeline.hpp"
#include "lacuna/methods/quest_top_p.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_keys.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::DuoPrefill;
using lacuna::DuoQuestOf;
using lacuna::DuoVerticalSlash;
using support::Data;
using support::Layout;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

std::vector<std::uint8_t> const kClasses{1, 0, 1};

lacuna::GivenHeads classes(std::int64_t heads = 3) { return {{kClasses.data(), {heads}, {1}}}; }

template <class T>
void prompt_equals_the_oracle(Sizes const& sizes, Layout const& layout, std::int64_t window, double cap, bool sinks) {
  CAPTURE(name_of(sizes), name_of(layout), window, cap, sinks);
  auto in = support::make_inputs<T>(sizes, Data::random, 17);
  in.window_tokens = window;
  in.soft_cap = cap;
  if (sinks) in.sink_logits.assign(static_cast<std::size_t>(in.heads_q), 0.5);
  ProblemCase<T> c(in, layout);
  DuoPrefill const method{{}, {.sink_tokens = 3, .window_tokens = 20}, classes(sizes.heads_kv)};
  MethodRun<DuoPrefill> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  double kept = 0.0, causal = 0.0;
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
    auto keys = reference::dense_keys(in, row);
    causal += static_cast<double>(keys.size());
    if (kClasses[static_cast<std::size_t>(in.head_kv(head))] != 0)
      std::erase_if(keys, [&](std::int64_t j) { return j >= 3 && in.position(row) - j >= 20; });
    kept += static_cast<double>(keys.size());
    return keys;
  });
  REQUIRE(support::explain_answer(c, exact) == "");
  REQUIRE(lacuna::density(run.index()) == Approx(causal == 0.0 ? 1.0 : kept / causal).epsilon(1e-12));
}

TEST_CASE("head split: DuoAttention's prompt is a band for streaming heads and everything for the others",
          "[methods]") {
  for (Sizes sizes : support::prompt_sizes()) {
    sizes.heads_kv = 3;
    prompt_equals_the_oracle<float>(sizes, {}, 0, 0.0, false);
  }
  for (Sizes sizes : support::continued_sizes()) {
    sizes.heads_kv = 2;
    prompt_equals_the_oracle<lacuna::bfloat16>(sizes, {}, 0, 0.0, false);
  }
  for (Layout const& layout : support::layouts())
    prompt_equals_the_oracle<float>({90, 130, 3, 2, 24}, layout, 50, 4.0, true);
}

TEST_CASE("head split: every part has the bits of its method alone", "[methods]") {
  auto const in = support::make_inputs<float>({300, 300, 3, 2, 32}, Data::random, 3);
  ProblemCase<float> c(in), sparse(in);
  DuoVerticalSlash method{{}, {.sink_tokens = 4, .window_tokens = 40}, classes()};
  method.first.selector.inner.window = 32;
  method.first.budget = {30, 80};
  MethodRun<DuoVerticalSlash> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  MethodRun<lacuna::VerticalSlash> alone(method.first, sparse.problem());
  REQUIRE(alone.run(sparse.problem(), sparse.out()) == "");
  for (std::int64_t row = 0; row < 300; ++row)
    for (std::int64_t head : {2, 3}) CHECK(c.lse_at(row, head) == sparse.lse_at(row, head));
  auto const exact = reference::attend(
      in, [&](std::int64_t head, std::int64_t row) { return support::keys_of(run.index(), in, head, row); });
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("head split: every part reads what its store keeps beside its own keys", "[methods]") {
  auto const in = support::make_inputs<float>({1, 300, 3, 2, 16}, Data::random, 5);
  support::CacheCase<float, lacuna::CodedKeysCache> cache(3, 16, 300, 8, 16);
  REQUIRE(cache.append(in, 0, 300) == "");
  lacuna::Twilight const twilight{.selector = {.candidate_tokens = 160},
                                  .budget = {.share = 0.4, .floor_tokens = 16, .most_tokens = 64}};
  using Split = lacuna::HeadSplit<lacuna::Twilight, lacuna::DenseOver<lacuna::CodedKeysCache>>;
  ProblemCase<float> together(in), parts(in);
  auto problem = together.problem();
  problem.kv = cache.store().view();
  MethodRun<lacuna::Twilight> whole(twilight, problem);
  REQUIRE(whole.run(problem, together.out()) == "");
  MethodRun<Split> split({twilight, {}, classes()}, problem);
  REQUIRE(split.run(problem, parts.out()) == "");
  for (std::int64_t head : {2, 3}) CHECK(parts.lse_at(0, head) == together.lse_at(0, head));
  for (std::int64_t head : {0, 1, 4, 5}) CHECK(parts.lse_at(0, head) > together.lse_at(0, head));
}

/// A prompt in one append, then steps; retrieval heads read Quest's pages, streaming heads their sinks and ring.
template <class T = float>
void decodes_like_the_oracle(std::int64_t page_tokens, std::int64_t group, lacuna::Cpu exec, std::int64_t dim = 16) {
  CAPTURE(page_tokens, group, dim);
  std::int64_t const heads = 3, total = 170, prompt = 140;
  auto const all = support::make_inputs<T>({total, total, heads, group, dim}, Data::random, 8);
  std::int64_t const pages = heads * ((total + page_tokens - 1) / page_tokens);
  support::GuardedMemory pool_memory(lacuna::PagePool<T>::bytes(pages, page_tokens, dim));
  lacuna::PagePool<T> pool(pool_memory.data(), pages, page_tokens, dim);
  lacuna::StreamingRule const rule{4, 20, classes().second, false, {}, 16};
  support::GuardedMemory memory(lacuna::StreamingCache<T>::bytes(pool, total, heads, rule));
  lacuna::StreamingCache<T> cache(pool, memory.data(), total, heads, rule);
  DuoQuestOf<16> const method{{.budget = {.tokens = 48}}, {}, classes()};
  MethodRun<DuoQuestOf<16>> run(method, {1, total, heads * group, heads, dim}, exec);
  for (std::int64_t end = prompt; end <= total; ++end) {
    support::RowsCase<T> const rows(all, end == prompt ? 0 : end - 1, end);
    REQUIRE(cache.append(exec, rows.k(), rows.v()));
    auto const now = support::rows_of(all, end - 1, end, end);
    ProblemCase<T> c(now);
    auto problem = c.problem();
    problem.kv = cache.view();
    REQUIRE(run.run(problem, c.out()) == "");
    auto const exact = reference::attend(now, [&](std::int64_t head, std::int64_t) {
      if (kClasses[static_cast<std::size_t>(now.head_kv(head))] != 0) return reference::both_ends(end, 4, 20);
      auto const scores = reference::quest_shared_scores(now, now.head_kv(head), 16);
      return reference::page_keys(reference::quest_pages(scores, 3), 16, end);
    });
    CAPTURE(end);
    REQUIRE(support::explain_answer(c, exact) == "");
  }
  CHECK((pool_memory.guards_untouched() && memory.guards_untouched()));
}

TEST_CASE("head split: Quest on the retrieval heads of a streaming cache", "[methods]") {
  lacuna::ThreadPool pool(3);
  for (std::int64_t page : {1, 8, 16, 48}) decodes_like_the_oracle(page, 2, {});
  decodes_like_the_oracle(16, 5, pool.exec());
  decodes_like_the_oracle(16, 1, support::backwards(3));
  decodes_like_the_oracle<lacuna::bfloat16>(16, 16, {}, 96);
  decodes_like_the_oracle<lacuna::half>(256, 4, {}, 128);
}

TEST_CASE("head split: workers and order change no bit, one byte less is refused, a pipeline takes it", "[methods]") {
  auto const in = support::make_inputs<float>({90, 200, 3, 2, 32}, Data::random, 4);
  DuoPrefill const method{{}, {.sink_tokens = 4, .window_tokens = 40}, classes()};
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, support::backwards(3)}) {
    ProblemCase<float> c(in);
    MethodRun<DuoPrefill> run(method, c.problem(), exec);
    REQUIRE(run.run(c.problem(), c.out()) == "");
    if (first.empty()) first = c.answer();
    CHECK(c.answer() == first);
    CHECK(run.run_in(0, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  }
  static_assert(lacuna::Pipeline<DuoVerticalSlash, lacuna::Dense, lacuna::Quest>{}.prefill.moment ==
                lacuna::Moment::prefill);
  ProblemCase<float> one(support::make_inputs<float>({1, 90, 3, 2, 16}, Data::random, 4));
  MethodRun<DuoPrefill> step(method, one.problem(), support::backwards(3));
  REQUIRE(step.run(one.problem(), one.out()) == "");
  CHECK(std::string(step.run_in(0, one.problem(), one.out()).message) ==
        "head_split: the workspace is smaller than planned");
}

TEST_CASE("head split: refusals", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({20, 20, 3, 2, 16}, Data::random, 4));
  DuoPrefill method;
  CHECK(std::string(method.plan(lacuna::Cpu{}, lacuna::shape_of(c.problem())).status().message) ==
        "given_heads: second must say so for every KV head");
  method.chooser = classes();
  MethodRun<DuoPrefill> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  auto index = run.index();
  index.takes_second.extents[0] = 2;
  CHECK(std::string(index.check(lacuna::shape_of(c.problem())).message) ==
        "split_index: must have one part per KV head or per query head");
  index = run.index();
  index.lens(1) = 21;
  CHECK(std::string(index.check(lacuna::shape_of(c.problem())).message) ==
        "split_index: a part's length is beyond len_k");
  index.takes_second.extents[0] = 2;
  CHECK(std::string(method.select({}, c.problem(), {}, index).message) ==
        "head_split: the index has another number of parts");
}

}  // namespace
