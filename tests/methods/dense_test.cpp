#include "lacuna/methods/dense.hpp"

#include <string>

#include "reference/attention.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Dense;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

TEST_CASE("dense: prefill and decode equal the oracle", "[methods]") {
  for (auto const& list : {support::prompt_sizes(), support::continued_sizes()}) {
    for (Sizes const& sizes : list) {
      CAPTURE(name_of(sizes));
      auto const in = support::make_inputs<float>(sizes, Data::random, 42);
      ProblemCase<float> c(in);
      MethodRun<Dense> run(Dense{}, c.problem());
      REQUIRE(run.run(c.problem(), c.out()) == "");
      REQUIRE(c.exactly_the_answer_was_written());
      auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
      REQUIRE(support::explain_answer(c, exact) == "");
      CHECK(lacuna::density(run.index()) == 1.0);
    }
  }
}

TEST_CASE("dense: the last queries alone give the same as within the whole prompt", "[methods]") {
  auto const in = support::make_inputs<float>({130, 130, 1, 2, 32}, Data::random, 43);
  ProblemCase<float> whole(in);
  MethodRun<Dense> all(Dense{}, whole.problem());
  REQUIRE(all.run(whole.problem(), whole.out()) == "");
  auto tail = in;
  tail.len_q = 7;
  tail.q.erase(tail.q.begin(), tail.q.begin() + 123 * 2 * 32);
  ProblemCase<float> end(tail);
  MethodRun<Dense> last(Dense{}, end.problem());
  REQUIRE(last.run(end.problem(), end.out()) == "");
  auto const exact = reference::attend(tail, [&](std::int64_t, std::int64_t row) { return dense_keys(tail, row); });
  CHECK(support::explain_answer(end, exact) == "");
  CHECK(end.out_at(6, 1, 31) == Approx(whole.out_at(129, 1, 31)).margin(1e-6));
}

TEST_CASE("dense: fewer bytes than planned, and shapes that cannot be, are refused", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({20, 20, 1, 2, 16}, Data::random, 3));
  MethodRun<Dense> run(Dense{}, c.problem());
  CHECK(run.run_in(run.plan().workspace_bytes - 1, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  CHECK(run.guards_untouched());
  CHECK(std::string(Dense{}.plan(lacuna::Cpu{}, {1, 1, 3, 2, 16}).status().message) ==
        "shape: heads_q must be a positive multiple of heads_kv");
  auto broken = c.problem();
  broken.kv.dim = 8;
  CHECK(run.run(broken, c.out()) == "problem: q and k must have the same dim");
}

}  // namespace
