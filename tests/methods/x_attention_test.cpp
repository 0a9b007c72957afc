#include "lacuna/methods/x_attention.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/antidiagonal.hpp"
#include "reference/top_mass.hpp"
#include "support/block_case.hpp"
#include "support/exec.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::BlockAntidiagonal;
using lacuna::XAttention;
using lacuna::XAttentionOf;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

double score_error(Data data) {
  return data == Data::ties || data == Data::nan_key ? 0.0 : data == Data::huge ? 5e-2 : 2e-6;
}

template <class T, int B>
void equals_the_oracle(std::int64_t stride, double share, Sizes const& sizes, Data data) {
  CAPTURE(name_of(sizes), name_of(data), B, stride, share);
  auto const in = support::make_inputs<T>(sizes, data, 500 + static_cast<std::uint64_t>(sizes.len_k));
  ProblemCase<T> c(in);
  XAttentionOf<B> const method{.selector = {.inner = {.stride = stride}}, .budget = {.share = share}};
  support::block_method_equals_the_oracle(
      method, in, c, data, [&](std::int64_t head, std::int64_t m, reference::Units const& kept) -> std::string {
        auto const scores = reference::antidiagonal_scores(in, head, m, B, stride);
        auto const forced = reference::forced_blocks(m, 1, 1);
        double const error = score_error(data);
        std::int64_t const count = static_cast<std::int64_t>(kept.size());
        std::int64_t const low = reference::anchored_cover(scores, forced, share - 1e-5 - error);
        std::int64_t const high = reference::anchored_cover(scores, forced, share + 1e-5 + error);
        if (count < low || count > high)
          return "kept " + std::to_string(count) + ", wanted " + std::to_string(low) + " to " + std::to_string(high);
        return reference::explain_selection(kept, scores, forced, count, error);
      });
}

TEST_CASE("x-attention: every prompt size equals the oracle", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<float, 16>(4, 0.6, sizes, Data::random);
    equals_the_oracle<float, 8>(8, 0.4, sizes, Data::random);
    equals_the_oracle<lacuna::bfloat16, 64>(16, 0.8, sizes, Data::random);
  }
}

TEST_CASE("x-attention: later chunks of a prompt equal the oracle", "[methods]") {
  for (Sizes const& sizes : support::continued_sizes()) equals_the_oracle<float, 16>(8, 0.5, sizes, Data::random);
}

TEST_CASE("x-attention: strides and shares equal the oracle on a longer prompt", "[methods]") {
  for (double share : {0.0, 0.3, 0.9, 1.0})
    for (std::int64_t stride : {1, 4, 16})
      equals_the_oracle<float, 16>(stride, share, {391, 391, 1, 2, 32}, Data::random);
  equals_the_oracle<float, 128>(8, 0.7, {1301, 1301, 1, 1, 32}, Data::random);
}

TEST_CASE("x-attention: huge, tiny and NaN inputs equal the oracle", "[methods]") {
  for (Data data : {Data::huge, Data::tiny, Data::nan_key})
    equals_the_oracle<float, 16>(4, 0.55, {193, 193, 2, 2, 32}, data);
}

TEST_CASE("x-attention: a share of 1 gives what dense attention gives", "[methods]") {
  auto const in = support::make_inputs<float>({300, 300, 2, 2, 32}, Data::random, 5);
  ProblemCase<float> c(in);
  MethodRun<XAttentionOf<16>> run({.budget = {.share = 1.0}}, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  // The last blocks weigh less than the rounding of a sum.
  CHECK(lacuna::density(run.index()) > 0.99);
  CHECK(lacuna::paper_sparsity(run.index()) < 0.01);
}

TEST_CASE("block-antidiagonal: a fixed number of blocks by their antidiagonals", "[methods]") {
  for (Data data : {Data::random, Data::ties, Data::nan_key}) {
    CAPTURE(name_of(data));
    auto const in = support::make_inputs<float>({333, 333, 2, 2, 32}, data, 8);
    ProblemCase<float> c(in);
    BlockAntidiagonal const method{.budget = {.tokens = 16 * 6}};
    support::block_method_equals_the_oracle(
        method, in, c, data, [&](std::int64_t head, std::int64_t m, reference::Units const& kept) {
          // Sixteen equal keys do not make equal floats of a block's sum.
          double const error = data == Data::ties ? 2e-6 : score_error(data);
          return reference::explain_selection(kept, reference::antidiagonal_scores(in, head, m, 16, 8),
                                              reference::forced_blocks(m, 1, 2), std::min<std::int64_t>(6, m + 1),
                                              error);
        });
  }
}

TEST_CASE("x-attention: layouts, workers, order and repetition do not change a bit", "[methods]") {
  lacuna::ThreadPool pool(3);
  auto const in = support::make_inputs<float>({500, 500, 2, 3, 32}, Data::random, 7);
  XAttentionOf<16> const method{.budget = {.share = 0.5}};
  std::vector<double> first;
  for (auto const& layout : support::layouts())
    for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
      CAPTURE(name_of(layout), exec.workers);
      ProblemCase<float> c(in, layout);
      MethodRun<XAttentionOf<16>> run(method, c.problem(), exec);
      REQUIRE(run.run(c.problem(), c.out()) == "");
      if (first.empty()) first = c.answer();
      REQUIRE(c.answer() == first);
    }
}

TEST_CASE("x-attention: fewer bytes than planned are refused, a longer plan serves", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({300, 300, 1, 2, 16}, Data::random, 3));
  MethodRun<XAttention> run({}, c.problem());
  std::size_t const planned = run.plan().workspace_bytes;
  CHECK(run.run_in(planned - 1, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  CHECK(run.run_in(planned, c.problem(), c.out()));
  CHECK(run.guards_untouched());
  MethodRun<XAttention> longer({}, {400, 900, 2, 1, 16}, lacuna::Cpu{});
  CHECK(longer.run(c.problem(), c.out()) == "");
}

TEST_CASE("x-attention: a stride that does not divide the block is refused", "[methods]") {
  XAttention const method{.selector = {.inner = {.stride = 12}}};
  CHECK(std::string(method.plan({}, {100, 100, 2, 1, 16}).status().message) ==
        "antidiagonal: stride must divide the tokens of a block");
}

}  // namespace
