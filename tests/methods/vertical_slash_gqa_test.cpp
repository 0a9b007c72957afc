#include "lacuna/methods/vertical_slash_gqa.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "lacuna/budgets/per_head_pair.hpp"
#include "lacuna/budgets/top_mass.hpp"
#include "reference/attention.hpp"
#include "reference/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::VerticalSlashGqa;
using lacuna::VerticalSlashGqaOf;
using reference::Units;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

/// The estimator summed over the query heads of a group.
reference::VerticalSlashScores group_scores(reference::Inputs const& in, std::int64_t head_kv, std::int64_t window) {
  auto sum = reference::vertical_slash_scores(in, head_kv * in.group(), window);
  for (std::int64_t g = 1; g < in.group(); ++g) {
    auto const more = reference::vertical_slash_scores(in, head_kv * in.group() + g, window);
    for (std::size_t u = 0; u < sum.columns.size(); ++u) {
      sum.columns[u] += more.columns[u];
      sum.slashes[u] += more.slashes[u];
    }
  }
  return sum;
}

template <class M>
M method_of(std::int64_t window, std::int64_t columns, std::int64_t diagonals, std::int64_t sinks,
            std::int64_t recent) {
  return {.selector = {.inner = {.inner = {.window = window}}, .sink_tokens = sinks, .recent_tokens = recent},
          .budget = {.columns = columns, .diagonals = diagonals}};
}

template <class T, class M>
void equals_the_oracle(M const& method, std::int64_t tile, Sizes const& sizes, Data data) {
  std::int64_t const window = method.selector.inner.inner.window, n = sizes.len_k;
  CAPTURE(name_of(sizes), name_of(data), tile, window);
  auto const in = support::make_inputs<T>(sizes, data, 40 + static_cast<std::uint64_t>(n));
  ProblemCase<T> c(in);
  MethodRun<M> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  auto const& index = run.index();
  REQUIRE(index.heads() == in.heads_kv);
  std::int64_t const columns = method.budget.columns, diagonals = method.budget.diagonals;
  bool const dense = reference::vertical_slash_is_dense(n, window, diagonals, tile) || columns >= n;
  for (std::int64_t head = 0; head < in.heads_kv && !dense; ++head) {
    CAPTURE(head);
    auto const scores = group_scores(in, head, window);
    Units const sinks = reference::both_ends(n, method.selector.sink_tokens, 0);
    Units const near = reference::both_ends(n, method.selector.recent_tokens, 0);
    double const relative = data == Data::random ? 2e-5 : 0.0;
    REQUIRE(reference::explain_selection(support::units_of(index.columns, head, index.counts(head, 0)), scores.columns,
                                         sinks, columns,
                                         relative * reference::cut_magnitude(scores.columns, sinks, columns)) == "");
    REQUIRE(reference::explain_selection(support::units_of(index.diagonals, head, index.counts(head, 1)),
                                         scores.slashes, near, diagonals,
                                         relative * reference::cut_magnitude(scores.slashes, near, diagonals)) == "");
  }
  auto const exact = reference::attend(in, [&](std::int64_t head_q, std::int64_t row) {
    std::int64_t const head = in.head_kv(head_q);
    if (dense) return dense_keys(in, row);
    return reference::vertical_slash_keys(support::units_of(index.columns, head, index.counts(head, 0)),
                                          support::units_of(index.diagonals, head, index.counts(head, 1)), row, tile);
  });
  REQUIRE(support::explain_answer(c, exact, data) == "");
}

TEST_CASE("vertical-slash-gqa: every prompt size equals the oracle", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<float>(method_of<VerticalSlashGqa>(16, 8, 70, 4, 64), 64, sizes, Data::random);
    equals_the_oracle<lacuna::bfloat16>(method_of<VerticalSlashGqaOf<8>>(300, 9, 20, 2, 8), 8, sizes, Data::random);
  }
}

TEST_CASE("vertical-slash-gqa: ties and NaN equal the oracle", "[methods]") {
  for (Data data : {Data::ties, Data::nan_key})
    equals_the_oracle<float>(method_of<VerticalSlashGqaOf<16>>(32, 10, 30, 4, 16), 16, {193, 193, 2, 3, 32}, data);
}

TEST_CASE("vertical-slash-gqa: in groups of one it is Vertical-Slash", "[methods]") {
  auto const in = support::make_inputs<float>({300, 300, 3, 1, 32}, Data::random, 6);
  ProblemCase<float> one(in), other(in);
  MethodRun<VerticalSlashGqa> shared(method_of<VerticalSlashGqa>(64, 20, 80, 4, 64), one.problem());
  lacuna::VerticalSlash const alone{.selector = {.inner = {.window = 64}}, .budget = {.columns = 20, .diagonals = 80}};
  MethodRun<lacuna::VerticalSlash> single(alone, other.problem());
  REQUIRE(shared.run(one.problem(), one.out()) == "");
  REQUIRE(single.run(other.problem(), other.out()) == "");
  CHECK(one.answer() == other.answer());
}

TEST_CASE("vertical-slash-gqa: workers and order do not change a bit, fewer bytes are refused", "[methods]") {
  auto const in = support::make_inputs<float>({300, 300, 2, 4, 32}, Data::random, 7);
  auto const method = method_of<VerticalSlashGqa>(64, 20, 80, 4, 64);
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, support::backwards(3)}) {
    ProblemCase<float> c(in);
    MethodRun<VerticalSlashGqa> run(method, c.problem(), exec);
    REQUIRE(run.run(c.problem(), c.out()) == "");
    if (first.empty()) first = c.answer();
    CHECK(c.answer() == first);
    CHECK_FALSE(run.run_in(run.plan().workspace_bytes - 1, c.problem(), c.out()));
  }
}

TEST_CASE("vertical-slash-gqa: a share of the group's mass is a budget too", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({300, 300, 2, 2, 32}, Data::random, 7));
  VerticalSlashGqaOf<16, lacuna::TopMass> const method{.budget = {.share = 0.4, .floor_tokens = 20}};
  MethodRun<VerticalSlashGqaOf<16, lacuna::TopMass>> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  CHECK(run.index().counts(0, 0) > 20);
  CHECK(lacuna::density(run.index()) < 1.0);
}

TEST_CASE("per_head_pair: each head its own counts, as MInference finds them", "[budgets]") {
  using MInference = lacuna::VerticalSlashOf<64, lacuna::PerHeadPair>;
  std::vector<std::int32_t> counts{40, 110, 60, 150, 500, 120};
  auto const view = [&](std::int64_t heads) {
    return lacuna::dense_view<std::int32_t const, 2>(counts.data(), {heads, 2});
  };
  MInference const method{.selector = {.inner = {.window = 64}, .sink_tokens = 30, .recent_tokens = 100},
                          .budget = {view(3)}};
  ProblemCase<float> c(support::make_inputs<float>({400, 400, 3, 1, 32}, Data::random, 7));
  MethodRun<MInference> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  CHECK(run.index().counts(0, 0) == 40);
  CHECK(run.index().counts(1, 1) == 150);
  CHECK(run.index().counts(2, 0) == 400);  // more than there are: dense
  auto const columns = support::units_of(run.index().columns, 0, 40);
  CHECK(Units(columns.begin(), columns.begin() + 30) == reference::both_ends(30, 30, 0));

  auto const complaint = [&](lacuna::PerHeadPair const& budget) {
    return std::string(budget.check(lacuna::VerticalSlashUnit<64>{}).message);
  };
  CHECK(complaint({}) == "per_head_pair: counts must be [heads, 2]");
  counts[3] = 0;
  CHECK(complaint({view(3)}) == "per_head_pair: every count must be at least 1");
  counts[3] = 150;
  MInference two = method;
  two.budget.counts = view(2);
  MethodRun<MInference> other(two, c.problem());
  CHECK(other.run(c.problem(), c.out()) == "per_head_pair: counts must have one row per head of scores");
}

}  // namespace
