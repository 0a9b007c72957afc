#include "frontier/cost.hpp"

#include "support/catch.hpp"

namespace {

using frontier::Cost;
using frontier::cost_of;
using frontier::Estimator;
using lacuna::Moment;

constexpr lacuna::ModelDims kQwen7b{28, 28, 4, 128, 3584, 18944, 152064};

TEST_CASE("cost: a record's cost is the published account", "[frontier]") {
  Cost const dense = cost_of(kQwen7b, Moment::prefill, Estimator::none, {}, 131072, 1.0);
  CHECK(64.0 * dense.prefill_flops == Approx(5.6e17).epsilon(0.02));
  CHECK(64.0 * dense.step_reads(64.0) == Approx(2.5e11).epsilon(0.03));
  Cost const sparse = cost_of(kQwen7b, Moment::prefill, Estimator::lines,
                              {.window = 256, .lines = 4608, .unit_tokens = 64, .smoothing = 0}, 131072, 0.2);
  CHECK(dense.prefill_flops / (sparse.prefill_flops - sparse.prefill_select_flops) > 2.3);
  CHECK(sparse.prefill_select_flops / sparse.prefill_flops < 0.01);
  CHECK(sparse.kv_reads == dense.kv_reads);  // a sparse prompt is decoded densely
}

TEST_CASE("cost: Quest's bounds limit what it saves", "[frontier]") {
  frontier::CostInputs const pages{.window = 0, .lines = 0, .unit_tokens = 16, .smoothing = 0};
  double const dense = cost_of(kQwen7b, Moment::each_step, Estimator::bounds, pages, 16384, 1.0).kv_reads;
  double const expected[][2] = {{0.5, 1.78}, {0.2, 3.81}, {0.1, 6.15}, {0.05, 8.89}};
  for (auto const& [density, ratio] : expected) {
    Cost const cost = cost_of(kQwen7b, Moment::each_step, Estimator::bounds, pages, 16384, density);
    CHECK(dense / (cost.kv_reads + cost.select_reads) == Approx(ratio).epsilon(0.01));
  }
  CHECK(cost_of(kQwen7b, Moment::each_step, Estimator::bounds, pages, 16384, 1.0).select_reads == 0.0);
}

TEST_CASE("cost: codes of 8 bits halve the bytes of the cache and of nothing else", "[frontier]") {
  Cost const half = cost_of(kQwen7b, Moment::each_step, Estimator::none, {}, 4096, 0.5, 1.0);
  CHECK(half.step_bytes(8.0) == Approx(2.0 * half.weight_reads / 8.0 + half.kv_reads));
  CHECK(cost_of(kQwen7b, Moment::prompt_end, Estimator::everything, {}, 4096, 0.1).select_reads > 0.0);
  CHECK(cost_of(kQwen7b, Moment::prompt_end, Estimator::tokens, {64, 0, 16, 5}, 4096, 0.1).prefill_select_flops > 0.0);
}

}  // namespace
