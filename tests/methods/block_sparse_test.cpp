#include "lacuna/methods/block_sparse.hpp"

#include <string>
#include <vector>

#include "lacuna/budgets/ratio.hpp"
#include "lacuna/core/thread_pool.hpp"
#include "support/block_case.hpp"
#include "support/exec.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::BlockSparse;
using lacuna::BlockSparseOf;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

template <class M>
M method_of(std::int64_t tokens, std::int64_t sinks, std::int64_t recent) {
  return {.selector = {.sink_tokens = sinks, .recent_tokens = recent}, .budget = {.tokens = tokens}};
}

template <class T, int B>
void equals_the_oracle(std::int64_t top, Sizes const& sizes, Data data, std::int64_t sinks = 1,
                       std::int64_t recent = 2 * B) {
  CAPTURE(name_of(sizes), name_of(data), B, top);
  auto const in = support::make_inputs<T>(sizes, data, 300 + static_cast<std::uint64_t>(sizes.len_k));
  ProblemCase<T> c(in);
  auto const method = method_of<BlockSparseOf<B>>(top * B, sinks, recent);
  auto const count = [&](std::int64_t tokens) { return (tokens + B - 1) / B; };
  support::block_method_equals_the_oracle(
      method, in, c, data, [&](std::int64_t head, std::int64_t m, reference::Units const& kept) {
        auto const scores = reference::pooled_block_scores(in, head, m, B);
        auto const forced = reference::forced_blocks(m, count(sinks), count(recent));
        double const relative = data == Data::ties || data == Data::nan_key ? 0.0 : 1e-4;
        // Signed sums: a score near zero is as uncertain as the largest.
        double const tolerance = relative * support::largest_magnitude(scores) + (data == Data::tiny ? 1e-40 : 0.0);
        return reference::explain_selection(kept, scores, forced, std::min(top, m + 1), tolerance);
      });
}

TEST_CASE("block-sparse: every prompt size equals the oracle", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<float, 16>(4, sizes, Data::random);
    equals_the_oracle<float, 8>(5, sizes, Data::random);
    equals_the_oracle<lacuna::bfloat16, 32>(3, sizes, Data::random);
  }
}

TEST_CASE("block-sparse: one choice per group goes by the mean of the group's scores", "[methods]") {
  for (Sizes const& sizes : {Sizes{150, 150, 2, 3, 32}, {65, 257, 1, 8, 16}, {130, 130, 3, 1, 16}}) {
    auto const in = support::make_inputs<float>(sizes, Data::random, 12);
    ProblemCase<float> c(in);
    auto const method = method_of<lacuna::BlockSparseGqa>(5 * 16, 4, 32);
    support::block_method_equals_the_oracle(
        method, in, c, Data::random, [&](std::int64_t head, std::int64_t m, reference::Units const& kept) {
          reference::UnitScores mean(static_cast<std::size_t>(m + 1));
          for (std::int64_t g = 0; g < in.group(); ++g) {
            auto const one = reference::pooled_block_scores(in, head * in.group() + g, m, 16);
            for (std::size_t block = 0; block < one.size(); ++block) mean[block] += one[block];
          }
          return reference::explain_selection(kept, mean, reference::forced_blocks(m, 1, 2),
                                              std::min<std::int64_t>(5, m + 1),
                                              1e-4 * support::largest_magnitude(mean));
        });
    MethodRun<lacuna::BlockSparseGqa> run(method, c.problem());
    REQUIRE(run.select(c.problem()) == "");
    CHECK(run.index().heads() == in.heads_kv);
    CHECK(run.run_in(run.plan().workspace_bytes - 1, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  }
}

TEST_CASE("block-sparse: later chunks of a prompt equal the oracle", "[methods]") {
  for (Sizes const& sizes : support::continued_sizes()) {
    equals_the_oracle<float, 16>(3, sizes, Data::random);
    equals_the_oracle<float, 64>(3, sizes, Data::random);
  }
}

TEST_CASE("block-sparse: MInference forces nothing", "[methods]") {
  equals_the_oracle<float, 64>(2, {521, 521, 1, 2, 32}, Data::random, 0, 0);
  equals_the_oracle<float, 16>(3, {201, 201, 2, 2, 64}, Data::random, 0, 0);
}

TEST_CASE("block-sparse: long rows stream through several panels and chunks", "[methods]") {
  equals_the_oracle<float, 8>(11, {1201, 1201, 1, 2, 32}, Data::random);
}

TEST_CASE("block-sparse: ties, huge, tiny, NaN and infinite inputs equal the oracle", "[methods]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key})
    equals_the_oracle<float, 16>(5, {193, 193, 2, 2, 32}, data);
}

TEST_CASE("block-sparse: all ties keep the forced three, then the first blocks", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({160, 160, 1, 1, 16}, Data::ties, 1));
  auto in = c.inputs();
  std::fill(in.q.begin(), in.q.end(), 1.0);
  ProblemCase<float> tied(in);
  MethodRun<BlockSparse> run(method_of<BlockSparse>(5 * 16, 4, 32), tied.problem());
  REQUIRE(run.select(tied.problem()) == "");
  CHECK(support::kept_blocks(run.index(), 0, 9) == reference::Units{0, 1, 2, 8, 9});
  CHECK(support::kept_blocks(run.index(), 0, 3) == reference::Units{0, 1, 2, 3});
}

TEST_CASE("block-sparse: a budget of every block gives what dense attention gives", "[methods]") {
  auto const in = support::make_inputs<float>({150, 150, 2, 2, 32}, Data::random, 5);
  ProblemCase<float> c(in);
  MethodRun<BlockSparse> run(method_of<BlockSparse>(160, 4, 32), c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  CHECK(lacuna::density(run.index()) == 1.0);
  auto const exact =
      reference::attend(in, [&](std::int64_t, std::int64_t row) { return reference::dense_keys(in, row); });
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("block-sparse: the paper's sparsity is the closed form", "[methods]") {
  for (std::int64_t len : {1, 100, 333, 512})
    for (std::int64_t top : {3, 8, 100}) {
      CAPTURE(len, top);
      ProblemCase<float> c(support::make_inputs<float>({len, len, 1, 2, 16}, Data::random, 5));
      MethodRun<BlockSparse> run(method_of<BlockSparse>(16 * top, 4, 32), c.problem());
      REQUIRE(run.select(c.problem()) == "");
      CHECK(lacuna::paper_sparsity(run.index()) ==
            Approx(reference::block_sparse_paper_sparsity(len, 16, top)).margin(1e-12));
    }
}

TEST_CASE("block-sparse: layouts, workers, order and repetition do not change a bit", "[methods]") {
  lacuna::ThreadPool pool(3);
  auto const in = support::make_inputs<float>({700, 700, 2, 3, 32}, Data::random, 7);
  auto const method = method_of<BlockSparse>(16 * 6, 4, 32);
  std::vector<double> first;
  for (auto const& layout : support::layouts())
    for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
      CAPTURE(name_of(layout), exec.workers);
      ProblemCase<float> c(in, layout);
      MethodRun<BlockSparse> run(method, c.problem(), exec);
      REQUIRE(run.run(c.problem(), c.out()) == "");
      if (first.empty()) first = c.answer();
      REQUIRE(c.answer() == first);
    }
}

TEST_CASE("block-sparse: fewer bytes than planned are refused", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({200, 200, 1, 2, 16}, Data::random, 3));
  MethodRun<BlockSparse> run(method_of<BlockSparse>(64, 4, 32), c.problem());
  std::size_t const planned = run.plan().workspace_bytes;
  for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, planned / 2, planned - 1}) {
    CAPTURE(bytes);
    CHECK(run.run_in(bytes, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
    CHECK(run.guards_untouched());
  }
  CHECK(run.run_in(planned, c.problem(), c.out()));
}

TEST_CASE("block-sparse: a plan for a longer prompt serves a shorter one", "[methods]") {
  auto const method = method_of<BlockSparse>(64, 4, 32);
  MethodRun<BlockSparse> run(method, {500, 500, 4, 2, 32}, lacuna::Cpu{});
  MethodRun<BlockSparse> chunks(method, {33, 500, 4, 2, 32}, lacuna::Cpu{});
  for (std::int64_t len : {1, 5, 63, 64, 100, 400, 500})
    for (std::int64_t len_q : {std::int64_t{1}, std::min<std::int64_t>(33, len), len}) {
      CAPTURE(len, len_q);
      auto const in = support::make_inputs<float>({len_q, len, 2, 2, 32}, Data::random, 9);
      ProblemCase<float> c(in), alone(in);
      MethodRun<BlockSparse> exact_plan(method, alone.problem());
      REQUIRE((len_q <= 33 ? chunks : run).run(c.problem(), c.out()) == "");
      REQUIRE(exact_plan.run(alone.problem(), alone.out()) == "");
      CHECK(c.answer() == alone.answer());
    }
}

TEST_CASE("block-sparse: the plan grows with the length, not with its square", "[methods]") {
  auto const bytes = [](std::int64_t len) { return BlockSparse{}.plan({}, {len, len, 8, 2, 128})->workspace_bytes; };
  CHECK(bytes(131072) < 9 * bytes(16384));
}

TEST_CASE("block-sparse: permuted heads permute the choice", "[methods]") {
  auto const in = support::make_inputs<lacuna::half>({300, 300, 2, 1, 32}, Data::random, 6);
  auto turned = in;
  for (std::int64_t i = 0; i < 300; ++i)
    for (std::int64_t h = 0; h < 2; ++h)
      for (std::int64_t x = 0; x < 32; ++x) {
        turned.q[static_cast<std::size_t>((i * 2 + 1 - h) * 32 + x)] = in.query(i, h)[x];
        turned.k[static_cast<std::size_t>((i * 2 + 1 - h) * 32 + x)] = in.key(i, h)[x];
      }
  ProblemCase<lacuna::half> a(in), b(turned);
  auto const method = method_of<BlockSparse>(96, 4, 32);
  MethodRun<BlockSparse> one(method, a.problem()), other(method, b.problem());
  REQUIRE(one.select(a.problem()) == "");
  REQUIRE(other.select(b.problem()) == "");
  for (std::int64_t head : {0, 1})
    for (std::int64_t r = 0; r < one.index().rows(); ++r)
      REQUIRE(support::kept_blocks(one.index(), head, r) == support::kept_blocks(other.index(), 1 - head, r));
}

TEST_CASE("block-sparse: a share of the length is a budget too", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({512, 512, 1, 1, 16}, Data::random, 5));
  MethodRun<BlockSparseOf<32, lacuna::Ratio>> run({.budget = {.share = 0.25}}, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  CHECK(run.index().counts(0, 15) == 4);
}

TEST_CASE("block-sparse: parameters and lengths that make no sense are refused", "[methods]") {
  CHECK(std::string(method_of<BlockSparse>(40, 4, 32).plan({}, {100, 100, 2, 1, 16}).status().message) ==
        "budget: tokens must be a positive multiple of the tokens of a unit");
  ProblemCase<float> c(support::make_inputs<float>({20, 40, 2, 1, 16}, Data::random, 3));
  std::int32_t const lens[] = {40, 39};
  c.kv().lens = lens;
  MethodRun<BlockSparse> run(method_of<BlockSparse>(64, 4, 32), c.problem());
  CHECK(run.select(c.problem()) == "block: every KV head must hold the same tokens");
}

}  // namespace
