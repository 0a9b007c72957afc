#include "lacuna/methods/or_dense.hpp"

#include <vector>

#include "lacuna/cost/prefill_methods.hpp"
#include "lacuna/methods/block_sparse.hpp"
#include "lacuna/methods/dense.hpp"

#include "support/catch.hpp"
#include "support/inputs.hpp"
#include "support/method_run.hpp"
#include "support/problem_case.hpp"

namespace {

using namespace lacuna;
using Blocks = OrDense<BlockSparse, BlockSparseCost>;

/// The answer of a method, bit by bit.
template <class M>
std::vector<double> answer(M const& method) {
  support::ProblemCase<float> c(support::make_inputs<float>({200, 200, 2, 2, 32}, support::Data::random, 4));
  support::MethodRun<M> run(method, c.problem());
  Status const s = run.run_in(run.plan().workspace_bytes, c.problem(), c.out());
  CAPTURE(s.message);
  REQUIRE(s);
  REQUIRE(run.guards_untouched());
  return c.answer();
}

TEST_CASE("or dense: the faster of the two answers, by the model of the machine", "[methods]") {
  BlockSparse const sparse{.budget = {.tokens = 64}};
  BlockSparseCost const cost{.density = 0.3};
  TimeModel const dear_selection{.prefill = {.select = {.fixed_ms = 1.0}}};
  TimeModel const dear_attention{.prefill = {.dense = {.fixed_ms = 1.0}}};
  CHECK(answer(Blocks{sparse, cost, dear_selection}) == answer(Dense{}));
  CHECK(answer(Blocks{sparse, cost, dear_attention}) == answer(sparse));
  CHECK(answer(sparse) != answer(Dense{}));
}

}  // namespace
