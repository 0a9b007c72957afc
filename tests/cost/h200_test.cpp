#include "lacuna/cost/h200.hpp"

#include "support/catch.hpp"

namespace {

using namespace lacuna;

constexpr Shape prompt_of(std::int64_t len) { return {len, len, 32, 8, 128}; }

template <MethodCost M>
double total_ms(TimeModel const& model, M const& method, std::int64_t len) {
  return predict(model, Phase::prefill, method, prompt_of(len)).total();
}
template <MethodCost M>
bool picks_dense(TimeModel const& model, M const& method, std::int64_t len) {
  return prefers_dense(model, Phase::prefill, method, prompt_of(len));
}

// The times are those of bench/results/h200.csv, commit 08198e5.
TEST_CASE("h200: predictions are near the calls that were timed", "[cost]") {
  CHECK(total_ms(h200::prefill({}, {}), DenseCost{}, 16384) == Approx(3.0075).epsilon(0.02));
  CHECK(total_ms(h200::prefill({}, {}), DenseCost{}, 65536) == Approx(48.088).epsilon(0.02));
  BlockSparseCost const coarse{0.0971, 128}, middle{0.0999, 64}, fine{0.0997, 16};
  CHECK(total_ms(h200_prefill(coarse), coarse, 65536) == Approx(5.503).epsilon(0.1));
  CHECK(total_ms(h200_prefill(middle), middle, 65536) == Approx(6.697).epsilon(0.1));
  CHECK(total_ms(h200_prefill(fine), fine, 65536) == Approx(14.357).epsilon(0.1));
  CHECK(total_ms(h200_prefill(fine, true), fine, 65536) == Approx(9.278).epsilon(0.1));
  VerticalSlashCost const slashes{0.0995, {256, 2}};
  CHECK(total_ms(h200_prefill(slashes), slashes, 65536) == Approx(7.777).epsilon(0.15));
  FlexPrefillCost const flex{0.0998, {512, 2}};
  CHECK(total_ms(h200_prefill(flex), flex, 65536) == Approx(10.497).epsilon(0.15));
  XAttentionCost const antidiagonals{0.0997};
  CHECK(total_ms(h200_prefill(antidiagonals), antidiagonals, 65536) == Approx(25.199).epsilon(0.1));
}

TEST_CASE("h200: at a density of .2 sparse attention pays from 16K tokens on, and short prompts are dense", "[cost]") {
  auto const check = [](TimeModel const& model, auto const& method) {
    for (std::int64_t len : {16384, 32768, 65536, 131072}) CHECK_FALSE(picks_dense(model, method, len));
    for (std::int64_t len : {256, 1024, 2048}) CHECK(picks_dense(model, method, len));
  };
  for (std::int64_t block : {16, 64, 128})
    check(h200_prefill(BlockSparseCost{0.2, block}), BlockSparseCost{0.2, block});
  check(h200_prefill(BlockSparseCost{0.2, 16}, true), BlockSparseCost{0.2, 16});
  check(h200_prefill(VerticalSlashCost{0.2, {256, 2}}), VerticalSlashCost{0.2, {256, 2}});
  check(h200_prefill(FlexPrefillCost{0.2, {512, 2}}), FlexPrefillCost{0.2, {512, 2}});
  check(h200_prefill(XAttentionCost{0.2}), XAttentionCost{0.2});
  check(h200_prefill(StreamingCost{128, 1601}), StreamingCost{128, 1601});
}

TEST_CASE("h200: without a model nothing takes time, and a tie is dense", "[cost]") {
  CHECK(picks_dense(TimeModel{}, BlockSparseCost{0.1, 64}, 65536));
  CHECK_FALSE(picks_dense(h200_prefill(BlockSparseCost{0.1, 64}), BlockSparseCost{0.1, 64}, 65536));
}

}  // namespace
