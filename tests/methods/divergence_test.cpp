#include "lacuna/methods/divergence.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "lacuna/methods/flex_prefill.hpp"
#include "reference/divergence.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_keys.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Divergence;
using support::Data;
using support::ProblemCase;
using support::Sizes;

std::vector<std::uint8_t> choices(Divergence const& chooser, lacuna::Problem<float> const& problem,
                                  lacuna::Cpu exec = {}) {
  lacuna::Workspace counting;
  chooser.reserve(exec, lacuna::shape_of(problem), counting);
  support::GuardedMemory memory(counting.used_bytes());
  std::vector<std::uint8_t> out(static_cast<std::size_t>(problem.heads_q()), 9);
  auto const view = lacuna::dense_view<std::uint8_t, 1>(out.data(), {problem.heads_q()});
  REQUIRE(chooser.choose(exec, problem, memory.workspace(), view));
  REQUIRE(memory.guards_untouched());
  return out;
}

TEST_CASE("divergence: a head is on the oracle's side of every threshold", "[methods]") {
  for (Sizes const& sizes : {Sizes{150, 150, 2, 3, 16}, {70, 200, 1, 4, 32}, {40, 40, 3, 1, 24}, {1, 100, 2, 2, 16}})
    for (std::int64_t tokens : {8, 16, 128})
      for (std::int64_t window : {0, 60}) {
        auto in = support::make_inputs<float>(sizes, Data::random, 31);
        in.window_tokens = window;
        in.soft_cap = window == 0 ? 0.0 : 3.0;
        ProblemCase<float> const c(in);
        for (std::int64_t head = 0; head < in.heads_q; ++head) {
          double const root = reference::root_divergence(in, head, tokens);
          CAPTURE(name_of(sizes), tokens, window, head, root);
          double const margin = 1e-4 + 1e-3 * root;
          CHECK(choices({root + margin, tokens}, c.problem())[static_cast<std::size_t>(head)] == 1);
          if (root > margin) CHECK(choices({root - margin, tokens}, c.problem())[static_cast<std::size_t>(head)] == 0);
        }
        CHECK(choices({0.3, tokens}, c.problem(), support::backwards(3)) == choices({0.3, tokens}, c.problem()));
      }
}

TEST_CASE("divergence: even attention is told by pooled keys, a NaN tells nothing", "[methods]") {
  ProblemCase<float> ties(support::make_inputs<float>({130, 130, 1, 2, 16}, Data::ties, 1));
  auto in = ties.inputs();
  in.q.assign(in.q.size(), 0.0);
  in.len_k = in.len_q = 128;
  // The newest block holds fewer visible keys for most of its queries, so the two differ a little.
  double const root = reference::root_divergence(in, 0, 16);
  CHECK(root < 0.1);
  CHECK(choices({0.1, 16}, ProblemCase<float>(in).problem()) == std::vector<std::uint8_t>{1, 1});
  ProblemCase<float> broken(support::make_inputs<float>({130, 130, 1, 2, 16}, Data::nan_key, 1));
  CHECK(choices({5.0, 16}, broken.problem()) == std::vector<std::uint8_t>{0, 0});
  CHECK(choices({0.0, 16}, ties.problem()) == std::vector<std::uint8_t>{0, 0});
}

TEST_CASE("divergence: what it refuses", "[methods]") {
  CHECK(std::string(Divergence{-0.1, 128}.check({}).message) == "divergence: threshold must not be negative");
  CHECK(std::string(Divergence{std::nan(""), 128}.check({}).message) == "divergence: threshold must not be negative");
  CHECK(std::string(Divergence{0.1, 0}.check({}).message) == "divergence: block_tokens must be at least 1");
  ProblemCase<float> const c(support::make_inputs<float>({9, 9, 1, 1, 8}, Data::random, 1));
  std::uint8_t out = 0;
  CHECK(std::string(Divergence{}.choose({}, c.problem(), {}, lacuna::dense_view<std::uint8_t, 1>(&out, {1})).message) ==
        "divergence: the workspace is smaller than planned");
}

TEST_CASE("flex-prefill: the original's heads have the pattern that divergence gives them", "[methods]") {
  using Original = lacuna::OriginalFlexPrefillOf<16, 16>;
  for (double threshold : {0.0, 0.25, 10.0}) {
    CAPTURE(threshold);
    auto const in = support::make_inputs<float>({210, 210, 2, 3, 16}, Data::random, 9);
    ProblemCase<float> c(in), plain(in);
    Original method{.chooser = {threshold, 16}};
    method.first.selector.inner.window = 16;
    method.first.budget = {.share = 0.6, .floor_tokens = 64};
    method.second.selector.inner.share = 0.6;
    support::MethodRun<Original> run(method, c.problem());
    REQUIRE(run.run(c.problem(), c.out()) == "");
    REQUIRE(c.exactly_the_answer_was_written());
    for (std::int64_t head = 0; head < in.heads_q; ++head)
      CHECK((run.index().takes_second(head) != 0) == (reference::root_divergence(in, head, 16) < threshold));
    auto const exact = reference::attend(
        in, [&](std::int64_t head, std::int64_t row) { return support::keys_of(run.index(), in, head, row); });
    CHECK(support::explain_answer(c, exact) == "");
    double const share = lacuna::density(run.index());
    CHECK((share > 0.05 && share < 1.0));
    if (threshold > 0.0) continue;
    support::MethodRun<lacuna::FlexPrefillOf<16>> usual(method.first, plain.problem());
    REQUIRE(usual.run(plain.problem(), plain.out()) == "");
    CHECK(c.answer() == plain.answer());
  }
}

}  // namespace
