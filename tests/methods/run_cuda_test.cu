#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lacuna/cost/prefill_methods.hpp"
#include "lacuna/methods/block_sparse.hpp"
#include "lacuna/methods/dense.hpp"
#include "lacuna/methods/duo_attention.hpp"
#include "lacuna/methods/flex_prefill.hpp"
#include "lacuna/methods/or_dense.hpp"
#include "lacuna/methods/streaming.hpp"
#include "lacuna/methods/x_attention.hpp"
#include "reference/attention.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/cuda_doors.hpp"
#include "support/inputs.hpp"

namespace {

using T = lacuna::bfloat16;

/// A call on the device, planned, in exactly the memory that the plan names.
template <class M>
void run(M const& method, lacuna::BatchProblem<T> const& problem, lacuna::AttentionOut<T> const& out) {
  support::Stream stream;
  lacuna::Cuda const exec{stream};
  auto const shape = lacuna::shape_of(problem);
  auto const plan = method.plan(exec, shape);
  REQUIRE(plan);
  support::DeviceMemory index_memory(plan->index_bytes), workspace(plan->workspace_bytes);
  lacuna::Workspace index_space = index_memory.workspace();
  auto index = method.make_index(shape, index_space);
  auto const s = method.run(exec, problem, workspace.workspace(), index, out);
  CAPTURE(s.message, s.value, s.bound);
  REQUIRE(s);
  stream.wait();
  REQUIRE(index_memory.guards_untouched());
  REQUIRE(workspace.guards_untouched());
}

support::BatchCase<T> batch() {
  std::vector<reference::Inputs> inputs;
  for (support::Sizes const& sizes : {support::Sizes{300, 300, 2, 2, 64}, support::Sizes{77, 210, 2, 2, 64},
                                      support::Sizes{1, 130, 2, 2, 64}, support::Sizes{40, 40, 2, 2, 64}})
    inputs.push_back(support::make_inputs<T>(sizes, support::Data::random, 80 + inputs.size()));
  return support::BatchCase<T>(inputs);
}

/// The answer of every sequence is exact attention over all keys.
template <class M>
void is_dense(char const* name, M const& method) {
  CAPTURE(name);
  auto c = batch();
  run(method, c.problem(), c.out());
  c.fetch();
  for (std::size_t b = 0; b < c.sequences().size(); ++b) {
    auto const& in = c.sequences()[b];
    auto const exact =
        reference::attend(in, [&](std::int64_t, std::int64_t row) { return reference::dense_keys(in, row); });
    CAPTURE(b);
    REQUIRE(support::explain_answer(c.answer(b), exact) == "");
  }
  REQUIRE(c.nothing_else_was_written());
}

/// A method's answer is that of the CPU's same call, but for the roundings of the storage.
template <class M>
void answers_as_the_cpu(char const* name, M const& method) {
  CAPTURE(name);
  auto c = batch();
  run(method, c.problem(), c.out());
  c.fetch();
  for (std::size_t b = 0; b < c.sequences().size(); ++b) {
    support::ProblemCase<T> one(c.sequences()[b]);
    auto const shape = lacuna::shape_of(one.problem());
    auto const plan = method.plan(lacuna::Cpu{}, shape);
    REQUIRE(plan);
    std::unique_ptr<std::byte[]> const memory(new std::byte[plan->index_bytes + plan->workspace_bytes + 192]);
    void* p = memory.get();
    std::size_t space = plan->index_bytes + plan->workspace_bytes + 192;
    std::align(64, space - 64, p, space);
    lacuna::Workspace index_space(p, (plan->index_bytes + 63) / 64 * 64);
    auto* const rest = static_cast<std::byte*>(p) + (plan->index_bytes + 63) / 64 * 64;
    auto index = method.make_index(shape, index_space);
    auto const s = method.run(lacuna::Cpu{}, one.problem(), {rest, plan->workspace_bytes}, index, one.out());
    CAPTURE(s.message);
    REQUIRE(s);
    auto const& in = c.sequences()[b];
    double error = 0.0, size = 0.0;
    auto const got = c.answer(b);
    for (std::int64_t row = 0; row < in.len_q; ++row)
      for (std::int64_t head = 0; head < in.heads_q; ++head)
        for (std::int64_t x = 0; x < in.dim; ++x) {
          double const expected = one.out_at(row, head, x), apart = got.out_at(row, head, x) - expected;
          error += apart * apart;
          size += expected * expected;
        }
    CAPTURE(b, error, size);
    REQUIRE(error <= 1e-4 * size);
  }
}

TEST_CASE("cuda run: with room for everything, every method is dense attention", "[methods]") {
  using namespace lacuna;
  is_dense("dense", Dense{});
  is_dense("block sparse", BlockSparse{.budget = {.tokens = 512}});
  is_dense("flex prefill", FlexPrefill{.budget = {.share = 0.9, .floor_tokens = 400}});
  is_dense("x attention", XAttention{.budget = {.share = 1.0}});
  is_dense("streaming", Streaming{.sink_tokens = 4, .window_tokens = 400});
}

TEST_CASE("cuda run: a method answers as on the CPU", "[methods]") {
  using namespace lacuna;
  answers_as_the_cpu("block sparse", BlockSparse{.budget = {.tokens = 96}});
  answers_as_the_cpu("block sparse 64", BlockSparseOf<64>{.budget = {.tokens = 192}});
  FlexPrefill flex{.budget = {.share = 0.5, .floor_tokens = 70}};
  flex.selector.inner.window = 64;
  answers_as_the_cpu("flex prefill", flex);
  answers_as_the_cpu("x attention", XAttention{});
  answers_as_the_cpu("streaming", Streaming{.sink_tokens = 4, .window_tokens = 60});
}

TEST_CASE("cuda run: one method for some heads, another for the others", "[methods]") {
  using namespace lacuna;
  Streaming const streaming{.sink_tokens = 4, .window_tokens = 60};
  for (std::vector<std::uint8_t> const& second : {std::vector<std::uint8_t>{0, 1}, {1, 0}, {1, 1}}) {
    GivenHeads const heads{dense_view<std::uint8_t const, 1>(second.data(), {2})};
    answers_as_the_cpu("duo prefill", DuoPrefill{{}, streaming, heads});
    VerticalSlash vertical_slash{.budget = {.columns = 40, .diagonals = 70}};
    vertical_slash.selector.inner.window = 64;
    answers_as_the_cpu("duo vertical-slash", DuoVerticalSlash{vertical_slash, streaming, heads});
  }
  std::vector<std::uint8_t> alternating(66);
  for (std::size_t head = 0; head < alternating.size(); head += 2) alternating[head] = 1;
  DuoPrefill const many{{}, streaming, {dense_view<std::uint8_t const, 1>(alternating.data(), {66})}};
  CHECK(many.plan(Cuda{}, BatchShape{1, 8, {8, 8, 66, 66, 64}}).status().message ==
        std::string("head_split: on the device heads of one method must lie in at most 32 runs"));
}

TEST_CASE("cuda run: below its crossover a method gives way to dense attention", "[methods]") {
  using namespace lacuna;
  // Selection takes a minute on this machine, and a product takes no time.
  TimeModel const slow{.prefill = {.select = {.fixed_ms = 6e4}}};
  is_dense("or dense", OrDense<BlockSparse, BlockSparseCost>{{.budget = {.tokens = 64}}, {.density = 0.1}, slow});
  TimeModel const quick{.prefill = {.dense = {.fixed_ms = 6e4}}};
  answers_as_the_cpu("or sparse",
                     OrDense<BlockSparse, BlockSparseCost>{{.budget = {.tokens = 64}}, {.density = 0.1}, quick});
}

}  // namespace
