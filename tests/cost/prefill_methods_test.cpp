#include "lacuna/cost/prefill_methods.hpp"

#include <algorithm>

#include "lacuna/cost/solve_density.hpp"
#include "support/catch.hpp"

namespace {

using namespace lacuna;

static_assert(MethodCost<DenseCost> && MethodCost<VerticalSlashCost> && MethodCost<FlexPrefillCost> &&
              MethodCost<BlockSparseCost> && MethodCost<XAttentionCost> && MethodCost<StreamingCost>);

constexpr Shape kPrompt{16384, 16384, 28, 4, 128};  // log2(16384) = 14

TEST_CASE("cost: Vertical-Slash and FlexPrefill as in the table", "[cost]") {
  double const n = 16384, w = 256, d = 128, heads = 28;
  double const cells = 0.2 * n * (n + 1) / 2;  // sum of 4096 tiles + 64 columns
  AttentionWork const vertical_slash = VerticalSlashCost{0.2, {256}}.prefill(kPrompt, {});
  CHECK(vertical_slash.total().flops ==
        Approx(heads * (4 * d * cells + 2 * d * w * n + 7 * w * n + 2 * n * 14)).epsilon(1e-13));
  CHECK(vertical_slash.sparse);
  AttentionWork const flex = FlexPrefillCost{0.2, {256}}.prefill(kPrompt, {});
  CHECK(flex.attend == vertical_slash.attend);
  CHECK(flex.select.flops - vertical_slash.select.flops == Approx(heads * (2 * n * 14 + 2 * n)).epsilon(1e-9));
}

TEST_CASE("cost: estimating Vertical-Slash is w / n of dense, 0.2 % at 128K", "[cost]") {
  Shape const prompt{131072, 131072, 28, 4, 128};
  double const share =
      VerticalSlashCost{0.1, {256}}.prefill(prompt, {}).select.flops / DenseCost{}.prefill(prompt, {}).attend.flops;
  CHECK(share == Approx(256.0 / 131072).epsilon(0.03));
}

TEST_CASE("cost: Block-Sparse counts the blocks that are kept", "[cost]") {
  for (std::int64_t n : {16384, 1000}) {
    std::int64_t const blocks = (n + 15) / 16, top_k = 53;
    double kept = 0;
    for (std::int64_t row = 0; row < blocks; ++row) kept += static_cast<double>(std::min(row + 1, top_k));
    Shape const prompt{n, n, 28, 4, 128};
    AttentionWork const work = BlockSparseCost{block_sparse_density(blocks, top_k), 16}.prefill(prompt, {});
    CHECK(work.attend.flops == Approx(28 * 4.0 * 128 * 256 * kept).epsilon(1e-12));
    double const square = static_cast<double>(blocks * blocks), rows = static_cast<double>(n);
    CHECK(work.select.flops == Approx(28 * (2.0 * 128 * square + 2.0 * rows * 128)).epsilon(1e-12));
  }
  double const share =
      BlockSparseCost{0.1, 16}.prefill(kPrompt, {}).select.flops / DenseCost{}.prefill(kPrompt, {}).attend.flops;
  CHECK(share == Approx(1.0 / 256).epsilon(0.02));
}

TEST_CASE("cost: XAttention selects for 1 / (2 stride) of the causal work", "[cost]") {
  double const dense = DenseCost{}.prefill(kPrompt, {}).attend.flops;
  AttentionWork const work = XAttentionCost{0.3, 16}.prefill(kPrompt, {});
  CHECK(work.select.flops == Approx(dense / 32));
  CHECK(work.attend.flops == Approx(0.3 * dense));
}

TEST_CASE("cost: sinks and window are counted one by one", "[cost]") {
  StreamingCost const streaming{3, 9};
  for (std::int64_t len_k = 1; len_k < 40; ++len_k)
    for (std::int64_t len_q = 1; len_q <= len_k; ++len_q) {
      double kept = 0.0, dense = 0.0;
      for (std::int64_t i = len_k - len_q; i < len_k; ++i)
        for (std::int64_t j = 0; j <= i; ++j) dense += 1.0, kept += j < 3 || i - j < 9 ? 1.0 : 0.0;
      CAPTURE(len_k, len_q);
      REQUIRE(streaming.density({len_q, len_k, 1, 1, 1}) == Approx(kept / dense).epsilon(1e-14));
    }
  CHECK(streaming.density({0, 0, 1, 1, 1}) == 1.0);
  CHECK(StreamingCost{4, 1020}.decode({1, 5000, 28, 4, 128}, {}).attend.bytes == 2.0 * 1024 * 128 * 4 * 2);
  CHECK(StreamingCost{4, 1020}.decode({1, 500, 28, 4, 128}, {}).attend.bytes == 2.0 * 500 * 128 * 4 * 2);
}

TEST_CASE("cost: methods for the prompt decode densely", "[cost]") {
  Shape const step{1, 1000, 28, 4, 128};
  AttentionWork const dense = DenseCost{}.decode(step, {});
  auto const same = [&](AttentionWork const& work) {
    return work.select == Work{} && work.attend == dense.attend && !work.sparse;
  };
  CHECK(same(VerticalSlashCost{0.1}.decode(step, {})));
  CHECK(same(FlexPrefillCost{0.1}.decode(step, {})));
  CHECK(same(BlockSparseCost{0.1}.decode(step, {})));
  CHECK(same(XAttentionCost{0.1}.decode(step, {})));
}

}  // namespace
