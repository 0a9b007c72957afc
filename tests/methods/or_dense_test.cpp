#include "lacuna/methods/or_dense.hpp"

#include <vector>

#include "lacuna/cost/decode_methods.hpp"
#include "lacuna/cost/prefill_methods.hpp"
#include "lacuna/methods/block_sparse.hpp"
#include "lacuna/methods/dense.hpp"
#include "lacuna/methods/pipeline.hpp"
#include "lacuna/methods/quest.hpp"
#include "support/bounds_case.hpp"
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

/// A step over a cache of `len` tokens, bit by bit.
template <class M>
std::vector<double> step(M const& method, std::int64_t len) {
  support::BoundsCase<float> c(support::make_inputs<float>({1, len, 2, 2, 32}, support::Data::random, 4), 16);
  support::MethodRun<M> run(method, c.problem());
  REQUIRE(run.run_in(run.plan().workspace_bytes, c.problem(), c.problem_case().out()));
  REQUIRE(run.guards_untouched());
  return c.problem_case().answer();
}

TEST_CASE("or dense: a step reads everything up to the crossover, and pages beyond", "[methods]") {
  Quest const quest{.budget = {.tokens = 64}};
  TimeModel const model{.decode = {.dense = {.gbytes_per_s = 10.0},
                                   .sparse = {.fixed_ms = 0.004, .gbytes_per_s = 10.0},
                                   .select = {.fixed_ms = 0.002, .gbytes_per_s = 10.0}}};
  OrDense<Quest, QuestCost> const either{quest, {.density = 0.25}, model};
  std::int64_t const crossover = crossover_length(model, Phase::decode, either.cost, {1, 1, 4, 2, 32}, 4000);
  REQUIRE((crossover > 100 && crossover < 4000));
  CHECK(step(either, crossover - 1) == step(Dense{}, crossover - 1));
  CHECK(step(either, crossover) == step(quest, crossover));
  CHECK(step(quest, crossover) != step(Dense{}, crossover));
}

static_assert(OrDense<Quest, QuestCost>::moment == Moment::each_step);
using EitherAtEachStep = Pipeline<Dense, Dense, OrDense<Quest, QuestCost>>;
static_assert(std::same_as<EitherAtEachStep::Store<float>, PagedCache<float>>);

}  // namespace
