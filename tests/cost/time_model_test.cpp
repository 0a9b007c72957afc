#include "lacuna/cost/time_model.hpp"

#include <Eigen/Dense>
#include <vector>

#include "lacuna/cost/decode_methods.hpp"
#include "lacuna/cost/prefill_methods.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace lacuna;

constexpr Shape kHeads{0, 0, 28, 4, 128};

Shape prompt_of(std::int64_t len) { return {len, len, kHeads.heads_q, kHeads.heads_kv, kHeads.dim}; }
Shape step_of(std::int64_t len) { return {1, len, kHeads.heads_q, kHeads.heads_kv, kHeads.dim}; }

/// A machine of invented, round constants.
constexpr TimeModel kMachine{
    .prefill = {.dense = {0.01, 0.2}, .sparse = {0.02, 0.1}, .select = {0.5, 0.05}},
    .decode = {.dense = {0.01, 1.0, 20.0}, .sparse = {0.02, 1.0, 10.0}, .select = {0.03, 1.0, 10.0}}};

TEST_CASE("time: fixed + FLOPs / rate + bytes / bandwidth", "[cost]") {
  static_assert(StageRate{0.5, 2.0, 10.0}.ms({4e9, 3e7}) == 0.5 + 2.0 + 3.0);
  static_assert(StageRate{}.ms({4e9, 3e7}) == 0.0);
  static_assert(StageRate{0.5}.ms({4e9, 3e7}) == 0.5);
}

TEST_CASE("time: each stage at its own rate", "[cost]") {
  AttentionWork const work = VerticalSlashCost{0.1}.prefill(prompt_of(8192), {});
  PredictedMs const sparse = predict(kMachine, Phase::prefill, VerticalSlashCost{0.1}, prompt_of(8192));
  CHECK(sparse.attend == Approx(0.02 + work.attend.flops / 0.1e9));
  CHECK(sparse.select == Approx(0.5 + work.select.flops / 0.05e9));
  CHECK(sparse.total() == sparse.select + sparse.attend);
  // A phase that a method leaves alone takes what dense takes.
  PredictedMs const dense = predict(kMachine, Phase::decode, DenseCost{}, step_of(8192));
  CHECK(dense.select == 0.0);
  CHECK(predict(kMachine, Phase::decode, VerticalSlashCost{0.1}, step_of(8192)).total() == dense.total());
  // The storage of the model's caches counts.
  TimeModel quantised = kMachine;
  quantised.storage.kv = 1.0;
  double const bytes = 2.0 * 8192 * 128 * 4 * 2;
  CHECK(dense.total() - predict(quantised, Phase::decode, DenseCost{}, step_of(8192)).total() ==
        Approx(0.5 * bytes / 20e6));
}

TEST_CASE("time: dense is preferred exactly below the crossover", "[cost]") {
  auto const check = [](Phase phase, auto const& method) {
    std::int64_t const crossover = crossover_length(kMachine, phase, method, kHeads);
    REQUIRE(crossover > 1);
    REQUIRE(crossover < 1000000);
    for (std::int64_t len = 1; len < 3 * crossover; len += 1 + crossover / 500) {
      Shape const shape = phase == Phase::prefill ? prompt_of(len) : step_of(len);
      CAPTURE(len, crossover);
      REQUIRE(prefers_dense(kMachine, phase, method, shape) == (len < crossover));
    }
    Shape const at = phase == Phase::prefill ? prompt_of(crossover) : step_of(crossover);
    CHECK_FALSE(prefers_dense(kMachine, phase, method, at));
  };
  check(Phase::prefill, VerticalSlashCost{0.1});
  check(Phase::prefill, XAttentionCost{0.2, 8});
  check(Phase::prefill, StreamingCost{});
  check(Phase::decode, SnapKvCost{0.1});
  check(Phase::decode, EvictEachStepCost{512});
}

TEST_CASE("time: where blocks make the two cross several times, one of the crossings is found", "[cost]") {
  BlockSparseCost const method{0.2, 128};
  std::int64_t const found = crossover_length(kMachine, Phase::prefill, method, kHeads);
  CHECK(prefers_dense(kMachine, Phase::prefill, method, prompt_of(found - 1)));
  CHECK_FALSE(prefers_dense(kMachine, Phase::prefill, method, prompt_of(found)));
  CHECK(prefers_dense(kMachine, Phase::prefill, method, prompt_of(found - 128)));
  CHECK_FALSE(prefers_dense(kMachine, Phase::prefill, method, prompt_of(found + 128)));
}

TEST_CASE("time: the crossover in decode, by hand", "[cost]") {
  // Bytes alone: 0.01 + x / 20 against 0.02 + 0.1 x / 10 + 0.03 + x / 16 / 10 with x = len * 2048 / 1e6.
  TimeModel model = kMachine;
  model.decode.dense.tflops = model.decode.sparse.tflops = model.decode.select.tflops = StageRate{}.tflops;
  double const len = 0.04 / (0.05 - 0.01 - 0.00625) * 1e6 / 2048;
  CHECK(static_cast<double>(crossover_length(model, Phase::decode, QuestCost{0.1}, kHeads)) ==
        Approx(len).margin(17));  // the current page is not scored
}

TEST_CASE("time: a method that never pays has no crossover, one that always does has 1", "[cost]") {
  CHECK(crossover_length(kMachine, Phase::prefill, VerticalSlashCost{0.6}, kHeads, 1 << 20) == (1 << 20) + 1);
  CHECK(crossover_length(kMachine, Phase::prefill, DenseCost{}, kHeads, 1000) == 1001);
  TimeModel eager = kMachine;
  eager.decode.dense.fixed_ms = 10.0;
  CHECK(crossover_length(eager, Phase::decode, SnapKvCost{0.1}, kHeads) == 1);
}

TEST_CASE("time: denser takes longer, and the crossover moves out", "[cost]") {
  std::int64_t before = 0;
  double ms_before = 0.0;
  for (double density : {0.05, 0.1, 0.2, 0.4}) {
    std::int64_t const crossover = crossover_length(kMachine, Phase::prefill, VerticalSlashCost{density}, kHeads);
    double const ms = predict(kMachine, Phase::prefill, VerticalSlashCost{density}, prompt_of(16384)).total();
    CHECK(crossover > before);
    CHECK(ms > ms_before);
    before = crossover, ms_before = ms;
  }
}

TEST_CASE("time: least squares over timed calls gives the constants back, and predicts the rest", "[cost]") {
  support::Random random(5);
  StageRate const truth = kMachine.decode.sparse;
  std::vector<Work> works;
  for (std::int64_t len = 1024; len <= 65536; len *= 2)
    for (std::int64_t heads_q : {4, 28, 64}) {  // groups of several sizes tell FLOPs from bytes
      Shape shape = step_of(len);
      shape.heads_q = heads_q;
      works.push_back(SnapKvCost{0.2}.decode(shape, {}).attend);
    }
  Eigen::MatrixXd terms(static_cast<Eigen::Index>(works.size()), 3);
  Eigen::VectorXd ms(terms.rows());
  for (Eigen::Index i = 0; i < terms.rows(); ++i) {
    Work const& work = works[static_cast<std::size_t>(i)];
    double const noise = 1.0 + 0.01 * (static_cast<double>(random.below(2001)) / 1000.0 - 1.0);
    double const measured = truth.ms(work) * noise;
    terms.row(i) << 1.0 / measured, work.flops / 1e9 / measured, work.bytes / 1e6 / measured;  // relative errors
    ms(i) = 1.0;
  }
  Eigen::Vector3d const fitted = terms.colPivHouseholderQr().solve(ms);
  StageRate const rate{fitted(0), 1.0 / fitted(1), 1.0 / fitted(2)};
  CHECK(rate.fixed_ms == Approx(truth.fixed_ms).epsilon(0.05));
  CHECK(rate.gbytes_per_s == Approx(truth.gbytes_per_s).epsilon(0.05));
  Work const unseen = SnapKvCost{0.1}.decode(step_of(100000), {}).attend;
  CHECK(rate.ms(unseen) == Approx(truth.ms(unseen)).epsilon(0.02));
}

}  // namespace
