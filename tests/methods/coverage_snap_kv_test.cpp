#include "lacuna/methods/coverage_snap_kv.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "reference/snap_kv.hpp"
#include "reference/top_mass.hpp"
#include "support/catch.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::CoverageSnapKv;
using reference::Units;
using support::Data;
using support::MethodRun;
using support::ProblemCase;

CoverageSnapKv method_of(double share, std::int64_t floor, std::int64_t most) {
  CoverageSnapKv method;
  method.selector = {.inner = {.inner = {.window = 32}, .width = 5}, .sink_tokens = 2, .recent_tokens = 8};
  method.budget = {share, floor, most};
  return method;
}

void equals_the_oracle(support::Sizes const& sizes, double share, std::int64_t floor, std::int64_t most) {
  CAPTURE(name_of(sizes), share, floor, most);
  auto const in = support::make_inputs<float>(sizes, Data::random, 77);
  ProblemCase<float> c(in);
  MethodRun<CoverageSnapKv> run(method_of(share, floor, most), c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  for (std::int64_t head = 0; head < in.heads_kv; ++head) {
    auto const scores = reference::smooth(reference::window_mass(in, head, 32), 5);
    Units const forced = reference::both_ends(in.len_k, 2, 8);
    // Rounding may move the crossing by one.
    std::int64_t const count = run.index().counts(head);
    std::int64_t wanted = in.len_k == 0 ? 0 : share == 1.0 ? in.len_k : reference::cover(scores, share);
    wanted = std::min(std::max(wanted, floor), in.len_k);
    if (most > 0) wanted = std::min(wanted, most);
    CAPTURE(head, count, wanted);
    REQUIRE(std::abs(count - wanted) <= (wanted == floor || wanted == most || wanted == in.len_k ? 0 : 1));
    REQUIRE(reference::explain_selection(support::units_of(run.index().tokens, head, count), scores, forced, count,
                                         2e-5 * reference::cut_magnitude(scores, forced, count)) == "");
  }
}

TEST_CASE("coverage-snap-kv: each head keeps what covers the share of its own attention", "[methods]") {
  for (support::Sizes const& sizes : support::prompt_sizes()) equals_the_oracle(sizes, 0.6, 11, 0);
  for (double share : {0.0, 0.4, 0.9, 1.0}) equals_the_oracle({300, 300, 3, 2, 32}, share, 20, 0);
  equals_the_oracle({300, 300, 3, 2, 32}, 0.95, 20, 60);
}

TEST_CASE("coverage-snap-kv: the floor must exceed what is anchored", "[methods]") {
  auto complaint = [](std::int64_t floor) {
    return std::string(method_of(0.5, floor, 0).plan(lacuna::Cpu{}, {500, 500, 1, 1, 16}).status().message);
  };
  CHECK(complaint(11).empty());
  CHECK(complaint(10) == "anchored: the budget must exceed sink_tokens + recent_tokens");
}

}  // namespace
