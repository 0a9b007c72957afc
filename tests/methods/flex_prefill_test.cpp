#include "lacuna/methods/flex_prefill.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/attention.hpp"
#include "reference/top_mass.hpp"
#include "reference/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::FlexPrefill;
using lacuna::FlexPrefillOf;
using reference::Units;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

template <class M>
M method_of(std::int64_t window, double share, std::int64_t floor, std::int64_t sinks = 4, std::int64_t recent = 64) {
  return {.selector = {.inner = {.window = window}, .sink_tokens = sinks, .recent_tokens = recent},
          .budget = {.share = share, .floor_tokens = floor}};
}

/// The count may be one off where a sum of floats lies near the share; the set must then be the best of that many.
std::string explain(Units const& kept, reference::UnitScores const& scores, Units const& forced, double share,
                    std::int64_t floor, double relative) {
  std::int64_t const n = static_cast<std::int64_t>(scores.size());
  std::int64_t const count = static_cast<std::int64_t>(kept.size());
  std::int64_t const low = std::min(n, std::max(floor, reference::cover(scores, share - 1e-6)));
  std::int64_t const high = std::min(n, std::max(floor, reference::cover(scores, share + 1e-6)));
  if (count < low - 1 || count > high + 1)
    return "kept " + std::to_string(count) + ", wanted " + std::to_string(low) + " to " + std::to_string(high);
  return reference::explain_selection(kept, scores, forced, count,
                                      relative * reference::cut_magnitude(scores, forced, count));
}

template <class T, class M>
void equals_the_oracle(M const& method, std::int64_t tile, Sizes const& sizes, Data data) {
  std::int64_t const window = method.selector.inner.window, n = sizes.len_k;
  CAPTURE(name_of(sizes), name_of(data), tile, window, method.budget.share);
  auto const in = support::make_inputs<T>(sizes, data, 900 + static_cast<std::uint64_t>(n));
  ProblemCase<T> c(in);
  MethodRun<M> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  auto const& index = run.index();
  bool const never = n < tile || std::min(window, n) < 2 || method.budget.floor_tokens >= n;
  auto const dense = [&](std::int64_t head) { return never || index.counts(head, 0) == n; };
  for (std::int64_t head = 0; head < in.heads_q; ++head) {
    if (dense(head)) continue;
    CAPTURE(head);
    auto const scores = reference::vertical_slash_scores(in, head, window);
    double const relative = data == Data::ties || data == Data::nan_key ? 0.0 : data == Data::huge ? 5e-2 : 2e-5;
    REQUIRE(explain(support::units_of(index.columns, head, index.counts(head, 0)), scores.columns,
                    reference::both_ends(n, method.selector.sink_tokens, 0), method.budget.share,
                    method.budget.floor_tokens, relative) == "");
    REQUIRE(explain(support::units_of(index.diagonals, head, index.counts(head, 1)), scores.slashes,
                    reference::both_ends(n, method.selector.recent_tokens, 0), method.budget.share,
                    method.budget.floor_tokens, relative) == "");
  }
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
    if (dense(head)) return dense_keys(in, row);
    return reference::vertical_slash_keys(support::units_of(index.columns, head, index.counts(head, 0)),
                                          support::units_of(index.diagonals, head, index.counts(head, 1)), row, tile);
  });
  REQUIRE(support::explain_answer(c, exact, data) == "");
}

TEST_CASE("flex-prefill: every prompt size equals the oracle", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<float>(method_of<FlexPrefill>(64, 0.6, 66), 64, sizes, Data::random);
    equals_the_oracle<float>(method_of<FlexPrefillOf<8>>(20, 0.5, 10, 2, 8), 8, sizes, Data::random);
    equals_the_oracle<lacuna::bfloat16>(method_of<FlexPrefillOf<16>>(512, 0.8, 17, 4, 16), 16, sizes, Data::random);
  }
}

TEST_CASE("flex-prefill: shares from none to all equal the oracle on a longer prompt", "[methods]") {
  for (double share : {0.0, 0.3, 0.65, 0.95, 1.0})
    equals_the_oracle<float>(method_of<FlexPrefillOf<16>>(64, share, 40, 4, 16), 16, {521, 521, 1, 2, 32},
                             Data::random);
}

TEST_CASE("flex-prefill: ties, huge, tiny and NaN inputs equal the oracle", "[methods]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key})
    equals_the_oracle<float>(method_of<FlexPrefillOf<16>>(40, 0.5, 20, 4, 16), 16, {193, 193, 2, 2, 32}, data);
}

TEST_CASE("flex-prefill: a share of 0 is Vertical-Slash with as many columns and diagonals", "[methods]") {
  for (std::int64_t len : {65, 200, 400}) {
    CAPTURE(len);
    auto const in = support::make_inputs<float>({len, len, 2, 2, 32}, Data::random, 4);
    ProblemCase<float> flex(in), fixed(in);
    MethodRun<FlexPrefill> one(method_of<FlexPrefill>(64, 0.0, 70), flex.problem());
    lacuna::VerticalSlash const same{.selector = {.inner = {.window = 64}}, .budget = {.columns = 70, .diagonals = 70}};
    MethodRun<lacuna::VerticalSlash> other(same, fixed.problem());
    REQUIRE(one.run(flex.problem(), flex.out()) == "");
    REQUIRE(other.run(fixed.problem(), fixed.out()) == "");
    CHECK(flex.answer() == fixed.answer());
  }
}

TEST_CASE("flex-prefill: attention to a single key is covered by one column, and by as many diagonals as queries",
          "[methods]") {
  std::int64_t const len = 200, window = 32, key = 9;
  auto in = support::make_inputs<float>({len, len, 1, 2, 16}, Data::random, 1);
  std::fill(in.q.begin(), in.q.end(), 4.0);
  std::fill(in.k.begin(), in.k.end(), 0.0);
  std::fill_n(in.k.begin() + key * in.dim, in.dim, 10.0);
  ProblemCase<float> c(in);
  auto const method = method_of<FlexPrefillOf<16>>(window, 0.99, 1, 0, 0);
  MethodRun<FlexPrefillOf<16>> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  for (std::int64_t head : {0, 1}) {
    CHECK(support::units_of(run.index().columns, head, run.index().counts(head, 0)) == Units{key});
    // 32 diagonals of even mass: 0.99 of it takes all of them, and offset 0 has a place of its own.
    Units const diagonals = support::units_of(run.index().diagonals, head, run.index().counts(head, 1));
    REQUIRE(diagonals.size() == 32);
    CHECK(diagonals.front() == 0);
    for (std::size_t i = 1; i < diagonals.size(); ++i)
      CHECK((diagonals[i] >= len - window - key && diagonals[i] < len - key));
  }
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
    return reference::vertical_slash_keys({key}, support::units_of(run.index().diagonals, head, 32), row, 16);
  });
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("flex-prefill: what is covered is measured before anything is forced", "[methods]") {
  // One key and its diagonals take everything: one column would cover it, so the floor decides, and is spent on the
  // forced columns first.
  auto in = support::make_inputs<float>({300, 300, 1, 1, 16}, Data::random, 2);
  for (std::size_t e = 0; e < in.k.size(); ++e) in.k[e] = e / 16 == 150 ? 50.0 : 0.0;
  std::fill(in.q.begin(), in.q.end(), 1.0);
  ProblemCase<float> c(in);
  MethodRun<FlexPrefill> run(method_of<FlexPrefill>(32, 0.9, 5), c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  CHECK(support::units_of(run.index().columns, 0, run.index().counts(0, 0)) == Units{0, 1, 2, 3, 150});
}

TEST_CASE("flex-prefill: layouts, workers and order do not change a bit", "[methods]") {
  lacuna::ThreadPool pool(3);
  auto const in = support::make_inputs<float>({300, 300, 2, 3, 64}, Data::random, 7);
  auto const method = method_of<FlexPrefill>(64, 0.7, 70);
  std::vector<double> first;
  for (auto const& layout : support::layouts())
    for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
      CAPTURE(name_of(layout), exec.workers);
      ProblemCase<float> c(in, layout);
      MethodRun<FlexPrefill> run(method, c.problem(), exec);
      REQUIRE(run.run(c.problem(), c.out()) == "");
      if (first.empty()) first = c.answer();
      REQUIRE(c.answer() == first);
    }
}

}  // namespace
