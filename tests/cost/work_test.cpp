#include "lacuna/cost/work.hpp"

#include <cmath>

#include "support/catch.hpp"

namespace {

using namespace lacuna;

TEST_CASE("cost: causal pairs are counted one by one", "[cost]") {
  for (std::int64_t len_k = 0; len_k < 40; ++len_k)
    for (std::int64_t len_q = 0; len_q <= len_k; ++len_q) {
      std::int64_t pairs = 0;
      for (std::int64_t position = len_k - len_q; position < len_k; ++position) pairs += position + 1;
      REQUIRE(causal_pairs({len_q, len_k, 1, 1, 1}) == static_cast<double>(pairs));
    }
}

TEST_CASE("cost: dense prefill is 2 d H n (n + 1) FLOPs, a step reads 2 L d K e bytes", "[cost]") {
  Shape const prompt{1000, 1000, 28, 4, 128};
  CHECK(DenseCost{}.prefill(prompt, {}).attend.flops == 2.0 * 128 * 28 * 1000 * 1001);
  CHECK(DenseCost{}.prefill(prompt, {}).attend.bytes == 2.0 * 1000 * (28 + 4) * 128 * 2);
  Shape const step{1, 1000, 28, 4, 128};
  CHECK(DenseCost{}.decode(step, {}).attend == Work{4.0 * 1000 * 128 * 28, 2.0 * 1000 * 128 * 4 * 2});
  CHECK(DenseCost{}.decode(step, {.kv = 1.0 + 4.0 / 128}).attend.bytes == 2.0 * 1000 * 4 * (128 + 4));
  CHECK(DenseCost{}.decode(step, {}).select == Work{});
  CHECK_FALSE(DenseCost{}.decode(step, {}).sparse);
}

TEST_CASE("cost: chunks of a prompt add up to the prompt", "[cost]") {
  double flops = 0.0;
  for (std::int64_t end = 250; end <= 1000; end += 250)
    flops += DenseCost{}.prefill({250, end, 8, 2, 64}, {}).attend.flops;
  CHECK(flops == DenseCost{}.prefill({1000, 1000, 8, 2, 64}, {}).attend.flops);
}

TEST_CASE("cost: n log2 n", "[cost]") {
  static_assert(detail::sort_comparisons(1024.0) == 10240.0);
  static_assert(detail::sort_comparisons(1.0) == 0.0 && detail::sort_comparisons(0.0) == 0.0);
  for (double count : {2.0, 3.0, 100.0, 4095.0, 128000.0, 1e9})
    CHECK(detail::sort_comparisons(count) == Approx(count * std::log2(count)).epsilon(1e-12));
}

TEST_CASE("cost: a window longer than the prompt is the prompt, two passes compute the logits twice", "[cost]") {
  Shape const prompt{100, 100, 4, 2, 32};
  CHECK(WindowEstimate{256}.flops(prompt, 5.0) == 4.0 * 100 * 100 * (2 * 32 + 5));
  CHECK(WindowEstimate{10, 2}.flops(prompt, 7.0) == 4.0 * 10 * 100 * (4 * 32 + 7));
}

TEST_CASE("cost: the phase is said, never read from a length", "[cost]") {
  Shape const one_token{1, 1, 2, 1, 16};
  CHECK(work_of(DenseCost{}, Phase::prefill, one_token).attend.bytes == 2.0 * (2 + 1) * 16 * 2);
  CHECK(work_of(DenseCost{}, Phase::decode, one_token).attend.bytes == 2.0 * 16 * 2);
}

}  // namespace
