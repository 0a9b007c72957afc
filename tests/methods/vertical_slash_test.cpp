#include "lacuna/methods/vertical_slash.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/attention.hpp"
#include "reference/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::VerticalSlash;
using lacuna::VerticalSlashOf;
using reference::Units;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

template <class M>
M method_of(std::int64_t window, std::int64_t columns, std::int64_t diagonals, std::int64_t sinks = 4,
            std::int64_t recent = 64) {
  return {.selector = {.inner = {.window = window}, .sink_tokens = sinks, .recent_tokens = recent},
          .budget = {.columns = columns, .diagonals = diagonals}};
}

/// Chosen columns and diagonals of one head.
struct Choice {
  Units columns, diagonals;
};
Choice choice_of(lacuna::VerticalSlashIndex const& index, std::int64_t head) {
  return {support::units_of(index.columns, head, index.counts(head, 0)),
          support::units_of(index.diagonals, head, index.counts(head, 1))};
}

/// The choice first, against exact scores; then values and density, over exactly the keys that this choice stands for.
template <class T, class M>
void equals_the_oracle(M const& method, std::int64_t tile, Sizes const& sizes, Data data) {
  std::int64_t const window = method.selector.inner.window, n = sizes.len_k;
  CAPTURE(name_of(sizes), name_of(data), tile, window, method.budget.columns, method.budget.diagonals);
  auto const in = support::make_inputs<T>(sizes, data, 700 + static_cast<std::uint64_t>(n));
  ProblemCase<T> c(in);
  MethodRun<M> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  bool const dense = reference::vertical_slash_is_dense(n, window, method.budget.diagonals, tile);
  std::vector<Choice> choices;
  for (std::int64_t head = 0; head < in.heads_q; ++head) {
    choices.push_back(choice_of(run.index(), head));
    if (dense || method.budget.columns >= n) continue;
    auto const scores = reference::vertical_slash_scores(in, head, window);
    Units const sinks = reference::both_ends(n, std::min(method.selector.sink_tokens, n), 0);
    Units const near = reference::both_ends(n, std::min(method.selector.recent_tokens, n), 0);
    double const relative = data == Data::ties || data == Data::nan_key ? 0.0 : data == Data::huge ? 5e-2 : 2e-5;
    CAPTURE(head);
    REQUIRE(reference::explain_selection(
                choices.back().columns, scores.columns, sinks, method.budget.columns,
                relative * reference::cut_magnitude(scores.columns, sinks, method.budget.columns)) == "");
    REQUIRE(reference::explain_selection(
                choices.back().diagonals, scores.slashes, near, method.budget.diagonals,
                relative * reference::cut_magnitude(scores.slashes, near, method.budget.diagonals)) == "");
  }
  double kept = 0.0, causal = 0.0;
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
    Choice const& choice = choices[static_cast<std::size_t>(head)];
    auto const keys =
        dense ? dense_keys(in, row) : reference::vertical_slash_keys(choice.columns, choice.diagonals, row, tile);
    kept += static_cast<double>(keys.size());
    causal += static_cast<double>(row + 1);
    return keys;
  });
  REQUIRE(support::explain_answer(c, exact, data) == "");
  REQUIRE(lacuna::density(run.index()) == Approx(causal == 0.0 ? 1.0 : kept / causal).epsilon(1e-12));
}

TEST_CASE("vertical-slash: every prompt size equals the oracle at tile 64", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<float>(method_of<VerticalSlash>(16, 8, 70), 64, sizes, Data::random);
    equals_the_oracle<lacuna::bfloat16>(method_of<VerticalSlash>(64, 20, 66), 64, sizes, Data::random);
  }
}

TEST_CASE("vertical-slash: smaller tiles equal the oracle", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<float>(method_of<VerticalSlashOf<8>>(16, 6, 12, 4, 8), 8, sizes, Data::random);
    equals_the_oracle<float>(method_of<VerticalSlashOf<16>>(300, 9, 20, 2, 16), 16, sizes, Data::random);
  }
}

TEST_CASE("vertical-slash: a longer prompt at several budgets equals the oracle", "[methods]") {
  for (std::int64_t budget : {64, 80, 128, 300})
    equals_the_oracle<float>(method_of<VerticalSlash>(64, budget, budget), 64, {521, 521, 1, 2, 32}, Data::random);
}

TEST_CASE("vertical-slash: huge, tiny, NaN and infinite inputs equal the oracle", "[methods]") {
  for (Data data : {Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    for (std::int64_t window : {16, 64})
      equals_the_oracle<float>(method_of<VerticalSlash>(window, 10, 70), 64, {193, 193, 2, 2, 32}, data);
}

TEST_CASE("vertical-slash: all ties take the first columns and the nearest diagonals", "[methods]") {
  for (Sizes const& sizes : {Sizes{193, 193, 2, 2, 32}, Sizes{300, 300, 1, 1, 64}}) {
    equals_the_oracle<float>(method_of<VerticalSlash>(32, 10, 70), 64, sizes, Data::ties);
    equals_the_oracle<float>(method_of<VerticalSlashOf<16>>(50, 30, 40, 4, 16), 16, sizes, Data::ties);
  }
}

TEST_CASE("vertical-slash: forced columns and diagonals are always kept", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({200, 200, 1, 2, 16}, Data::huge, 3));
  MethodRun<VerticalSlash> run(method_of<VerticalSlash>(32, 5, 66), c.problem());
  REQUIRE(run.select(c.problem()) == "");
  for (std::int64_t head : {0, 1}) {
    Choice const choice = choice_of(run.index(), head);
    for (std::int64_t unit = 0; unit < 4; ++unit) CHECK(choice.columns[static_cast<std::size_t>(unit)] == unit);
    for (std::int64_t unit = 0; unit < 64; ++unit) CHECK(choice.diagonals[static_cast<std::size_t>(unit)] == unit);
    CHECK(choice.columns.size() == 5);
    CHECK(choice.diagonals.size() == 66);
  }
}

TEST_CASE("vertical-slash: dense where the prompt is shorter than a tile, the window one, or the budget covers it",
          "[methods]") {
  auto is_dense = [](VerticalSlash const& method, std::int64_t len) {
    ProblemCase<float> c(support::make_inputs<float>({len, len, 1, 2, 16}, Data::random, 3));
    MethodRun<VerticalSlash> run(method, c.problem());
    REQUIRE(run.run(c.problem(), c.out()) == "");
    return lacuna::density(run.index()) == 1.0;
  };
  CHECK(is_dense(method_of<VerticalSlash>(16, 4, 64), 63));
  CHECK(is_dense(method_of<VerticalSlash>(1, 4, 64), 200));
  CHECK(is_dense(method_of<VerticalSlash>(16, 4, 200), 200));
  CHECK(is_dense(method_of<VerticalSlash>(16, 200, 64), 200));
  CHECK_FALSE(is_dense(method_of<VerticalSlash>(16, 4, 64), 200));
}

TEST_CASE("vertical-slash: a full budget gives what dense attention gives", "[methods]") {
  auto const in = support::make_inputs<float>({150, 150, 2, 2, 32}, Data::random, 5);
  ProblemCase<float> c(in);
  MethodRun<VerticalSlash> run(method_of<VerticalSlash>(16, 150, 150), c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("vertical-slash: offset 0 is kept even when no diagonal is asked for by name", "[methods]") {
  auto in = support::make_inputs<float>({200, 200, 1, 1, 16}, Data::random, 5);
  ProblemCase<float> c(in);
  MethodRun<VerticalSlash> run(method_of<VerticalSlash>(16, 4, 3, 0, 0), c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  CHECK(choice_of(run.index(), 0).diagonals[0] == 0);
  for (std::int64_t row = 0; row < 200; ++row) CHECK(std::isfinite(c.lse_at(row, 0)));
}

TEST_CASE("vertical-slash: permuted heads permute the answer", "[methods]") {
  Sizes const sizes{150, 150, 3, 1, 32};
  auto const in = support::make_inputs<float>(sizes, Data::random, 6);
  auto turned = in;
  auto turn = [&](std::vector<double> const& from, std::vector<double>& to) {
    for (std::int64_t i = 0; i < 150; ++i)
      for (std::int64_t h = 0; h < 3; ++h)
        std::copy_n(&from[static_cast<std::size_t>((i * 3 + h) * 32)], 32,
                    &to[static_cast<std::size_t>((i * 3 + (h + 1) % 3) * 32)]);
  };
  turn(in.q, turned.q), turn(in.k, turned.k), turn(in.v, turned.v);
  ProblemCase<float> a(in), b(turned);
  auto const method = method_of<VerticalSlash>(16, 8, 70);
  MethodRun<VerticalSlash> one(method, a.problem()), other(method, b.problem());
  REQUIRE(one.run(a.problem(), a.out()) == "");
  REQUIRE(other.run(b.problem(), b.out()) == "");
  for (std::int64_t i = 0; i < 150; ++i)
    for (std::int64_t h = 0; h < 3; ++h)
      for (std::int64_t x = 0; x < 32; ++x) REQUIRE(a.out_at(i, h, x) == b.out_at(i, (h + 1) % 3, x));
}

TEST_CASE("vertical-slash: layouts, workers, order and repetition do not change a bit", "[methods]") {
  lacuna::ThreadPool pool(3);
  auto const in = support::make_inputs<float>({300, 300, 2, 3, 64}, Data::random, 7);
  auto const method = method_of<VerticalSlash>(64, 20, 80);
  std::vector<double> first;
  for (auto const& layout : support::layouts()) {
    for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
      CAPTURE(name_of(layout), exec.workers);
      ProblemCase<float> c(in, layout);
      MethodRun<VerticalSlash> run(method, c.problem(), exec);
      for (int again : {0, 1}) {
        CAPTURE(again);
        REQUIRE(run.run(c.problem(), c.out()) == "");
        if (first.empty()) first = c.answer();
        REQUIRE(c.answer() == first);
      }
    }
  }
}

TEST_CASE("vertical-slash: fewer bytes than planned are refused", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({200, 200, 1, 2, 16}, Data::random, 3));
  MethodRun<VerticalSlash> run(method_of<VerticalSlash>(32, 8, 66), c.problem());
  std::size_t const planned = run.plan().workspace_bytes;
  for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, planned / 2, planned - 1}) {
    CAPTURE(bytes);
    CHECK(run.run_in(bytes, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
    CHECK(run.guards_untouched());
  }
  CHECK(run.run_in(planned, c.problem(), c.out()));
}

TEST_CASE("vertical-slash: a plan for a longer prompt serves a shorter one", "[methods]") {
  auto const method = method_of<VerticalSlash>(32, 8, 66);
  MethodRun<VerticalSlash> run(method, {500, 500, 4, 2, 32}, lacuna::Cpu{});
  for (std::int64_t len : {1, 5, 63, 64, 100, 400, 500}) {
    CAPTURE(len);
    auto const in = support::make_inputs<float>({len, len, 2, 2, 32}, Data::random, 9);
    ProblemCase<float> c(in), alone(in);
    MethodRun<VerticalSlash> exact_plan(method, alone.problem());
    REQUIRE(run.run(c.problem(), c.out()) == "");
    REQUIRE(exact_plan.run(alone.problem(), alone.out()) == "");
    CHECK(c.answer() == alone.answer());
  }
}

TEST_CASE("vertical-slash: parameters that make no sense are refused by plan", "[methods]") {
  auto complaint = [](VerticalSlash const& method) {
    return std::string(method.plan(lacuna::Cpu{}, {100, 100, 2, 1, 16}).status().message);
  };
  CHECK(complaint(method_of<VerticalSlash>(32, 8, 66)).empty());
  CHECK(complaint(method_of<VerticalSlash>(0, 8, 66)) == "window_attention: window must be at least 1");
  CHECK(complaint(method_of<VerticalSlash>(32, 0, 66)) == "fixed_pair: columns must be at least 1");
  CHECK(complaint(method_of<VerticalSlash>(32, 8, 0)) == "fixed_pair: diagonals must be at least 1");
  CHECK(complaint(method_of<VerticalSlash>(32, 8, 66, -1)) == "anchored: sink_tokens must not be negative");
  CHECK(complaint(method_of<VerticalSlash>(32, 8, 66, 4, -1)) == "anchored: recent_tokens must not be negative");
}

}  // namespace
