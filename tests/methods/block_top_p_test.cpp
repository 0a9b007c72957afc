#include "lacuna/methods/block_top_p.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "reference/top_mass.hpp"
#include "support/block_case.hpp"
#include "support/exec.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::BlockTopPOf;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

template <class T, int B>
void equals_the_oracle(double share, std::int64_t most, Sizes const& sizes, Data data) {
  CAPTURE(name_of(sizes), name_of(data), B, share, most);
  auto const in = support::make_inputs<T>(sizes, data, 600 + static_cast<std::uint64_t>(sizes.len_k));
  ProblemCase<T> c(in);
  BlockTopPOf<B> const method{.budget = {.share = share, .floor_tokens = 3 * B, .most_tokens = most * B}};
  support::block_method_equals_the_oracle(
      method, in, c, data, [&](std::int64_t head, std::int64_t m, reference::Units const& kept) -> std::string {
        auto const scores = reference::softmax(reference::pooled_block_scores(in, head, m, B), in.beta());
        double const error = data == Data::ties || data == Data::nan_key ? 0.0 : data == Data::huge ? 1e-2 : 3e-6;
        auto const bounded = [&](std::int64_t count) {
          count = std::max<std::int64_t>(count, 3);
          return std::min(most == 0 ? count : std::min(count, most), m + 1);
        };
        std::int64_t const count = static_cast<std::int64_t>(kept.size());
        std::int64_t const low = bounded(reference::cover(scores, share - 1e-5 - error));
        std::int64_t const high = bounded(reference::cover(scores, share + 1e-5 + error));
        if (count < low || count > high)
          return "kept " + std::to_string(count) + ", wanted " + std::to_string(low) + " to " + std::to_string(high);
        return reference::explain_selection(kept, scores, reference::forced_blocks(m, 1, 2), count, error);
      });
}

TEST_CASE("block-top-p: every prompt size equals the oracle", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<float, 16>(0.6, 0, sizes, Data::random);
    equals_the_oracle<float, 8>(0.5, 7, sizes, Data::random);
    equals_the_oracle<lacuna::bfloat16, 32>(0.8, 0, sizes, Data::random);
  }
}

TEST_CASE("block-top-p: shares, chunks and odd inputs equal the oracle", "[methods]") {
  for (double share : {0.0, 0.3, 0.95, 1.0}) equals_the_oracle<float, 16>(share, 0, {521, 521, 1, 2, 32}, Data::random);
  for (Sizes const& sizes : support::continued_sizes()) equals_the_oracle<float, 16>(0.5, 0, sizes, Data::random);
  for (Data data : {Data::huge, Data::tiny, Data::nan_key})
    equals_the_oracle<float, 16>(0.55, 0, {193, 193, 2, 2, 32}, data);
}

TEST_CASE("block-top-p: workers and order do not change a bit", "[methods]") {
  auto const in = support::make_inputs<float>({500, 500, 2, 3, 32}, Data::random, 7);
  BlockTopPOf<16> const method{.budget = {.share = 0.5, .floor_tokens = 48}};
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, support::backwards(3)}) {
    ProblemCase<float> c(in);
    MethodRun<BlockTopPOf<16>> run(method, c.problem(), exec);
    REQUIRE(run.run(c.problem(), c.out()) == "");
    if (first.empty()) first = c.answer();
    REQUIRE(c.answer() == first);
  }
}

}  // namespace
