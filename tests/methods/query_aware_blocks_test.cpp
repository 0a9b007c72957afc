#include "lacuna/methods/query_aware_blocks.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "reference/top_mass.hpp"
#include "support/block_case.hpp"
#include "support/exec.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::QueryAwareBlocksOf;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

/// Between which scores the cut of one head lies: pairs of all query blocks in descending score while what they hold is
/// at most the share; three pairs of doubt to either side, where sums of floats end elsewhere.
struct Cut {
  double low, high;
};
Cut cut_of(reference::Inputs const& in, std::int64_t head, std::int64_t tokens, double share) {
  reference::UnitScores pairs;
  std::int64_t const first = reference::first_query_block(in, tokens), end = reference::end_query_block(in, tokens);
  for (std::int64_t m = first; m < end; ++m)
    for (double score : reference::softmax(reference::pooled_block_scores(in, head, m, tokens), in.beta()))
      pairs.push_back(score);
  std::sort(pairs.begin(), pairs.end(), std::greater<>{});
  double held = 0.0;
  std::size_t fit = 0;
  while (fit < pairs.size() && held + pairs[fit] <= share * static_cast<double>(end - first)) held += pairs[fit++];
  return {fit + 3 < pairs.size() ? pairs[fit + 3] : -1.0, fit >= 3 ? pairs[fit - 3] : 2.0};
}

template <int B>
void equals_the_oracle(double share, Sizes const& sizes, Data data) {
  CAPTURE(name_of(sizes), name_of(data), B, share);
  auto const in = support::make_inputs<float>(sizes, data, 100 + static_cast<std::uint64_t>(sizes.len_k));
  ProblemCase<float> c(in);
  QueryAwareBlocksOf<B> const method{.selector = {.inner = {.share = share}}};
  std::vector<Cut> cuts;
  for (std::int64_t head = 0; head < in.heads_q; ++head) cuts.push_back(cut_of(in, head, B, share));
  support::block_method_equals_the_oracle(
      method, in, c, data, [&](std::int64_t head, std::int64_t m, reference::Units const& kept) -> std::string {
        auto const scores = reference::softmax(reference::pooled_block_scores(in, head, m, B), in.beta());
        auto const [low, high] = cuts[static_cast<std::size_t>(head)];
        for (std::int64_t block = 0; block <= m; ++block) {
          bool const is_kept = std::binary_search(kept.begin(), kept.end(), block);
          double const score = scores[static_cast<std::size_t>(block)];
          if (block == 0 || block == m) {
            if (!is_kept) return "dropped a forced block";
          } else if (is_kept ? score < low - 1e-6 : score > high + 1e-6) {
            return (is_kept ? "kept " : "dropped ") + std::to_string(block) + " of score " + std::to_string(score);
          }
        }
        return "";
      });
}

TEST_CASE("query-aware-blocks: every prompt size equals the oracle", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<16>(0.5, sizes, Data::random);
    equals_the_oracle<8>(0.8, sizes, Data::random);
  }
  for (double share : {0.0, 0.3, 1.0}) equals_the_oracle<16>(share, {521, 521, 1, 2, 32}, Data::random);
  for (Sizes const& sizes : support::continued_sizes()) equals_the_oracle<16>(0.6, sizes, Data::random);
}

TEST_CASE("query-aware-blocks: blocks of a head compete, so rows keep different numbers", "[methods]") {
  auto in = support::make_inputs<float>({320, 320, 1, 1, 16}, Data::random, 1);
  // The queries of one block are certain of one key block; all others are indifferent.
  for (std::size_t e = 0; e < in.q.size(); ++e) in.q[e] = e / (16 * 16) == 15 ? 4.0 : 0.0;
  for (std::size_t e = 0; e < in.k.size(); ++e) in.k[e] = e / (16 * 16) == 7 ? 4.0 : 0.0;
  ProblemCase<float> c(in);
  MethodRun<QueryAwareBlocksOf<16>> run({.selector = {.inner = {.share = 0.2}}}, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  CHECK(support::kept_blocks(run.index(), 0, 15) == reference::Units{0, 7, 15});
  CHECK(support::kept_blocks(run.index(), 0, 19) == reference::Units{0, 19});
}

TEST_CASE("query-aware-blocks: workers and order change nothing, one byte less is refused", "[methods]") {
  auto const in = support::make_inputs<float>({500, 500, 2, 3, 32}, Data::random, 7);
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, support::backwards(3)}) {
    ProblemCase<float> c(in);
    MethodRun<QueryAwareBlocksOf<16>> run({.selector = {.inner = {.share = 0.5}}}, c.problem(), exec);
    REQUIRE(run.run(c.problem(), c.out()) == "");
    if (first.empty()) first = c.answer();
    CHECK(c.answer() == first);
    CHECK(run.run_in(run.plan().workspace_bytes - 1, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  }
}

TEST_CASE("query-aware-blocks: floors, caps and parameters", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({320, 320, 1, 2, 16}, Data::nan_key, 1));
  QueryAwareBlocksOf<16> method{.selector = {.inner = {.share = 1.0}},
                                .budget = {.floor_tokens = 48, .most_tokens = 80}};
  MethodRun<QueryAwareBlocksOf<16>> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  CHECK(run.index().counts(0, 19) == 5);
  method.selector.inner.share = 0.0;
  MethodRun<QueryAwareBlocksOf<16>> least(method, c.problem());
  REQUIRE(least.run(c.problem(), c.out()) == "");
  CHECK(least.index().counts(0, 19) == 3);
  auto const complaint = [](QueryAwareBlocksOf<16> const& bad) {
    return std::string(bad.plan({}, {100, 100, 2, 1, 16}).status().message);
  };
  CHECK(complaint({.selector = {.inner = {.share = 1.5}}}) ==
        "query_aware: share must be in [0, 1]; value and bound are in millionths");
  CHECK(complaint({.budget = {.floor_tokens = 0}}) == "above_cut: floor_tokens must be at least 1");
  CHECK(complaint({.budget = {.floor_tokens = 32, .most_tokens = 16}}) ==
        "above_cut: most_tokens must be 0 or at least floor_tokens");
}

}  // namespace
