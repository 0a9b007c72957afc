#include "lacuna/cost/fit_rate.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace lacuna;

double const kNever = std::numeric_limits<double>::infinity();

std::vector<TimedWork> timed(StageRate const& truth, std::vector<Work> const& works) {
  std::vector<TimedWork> calls;
  for (Work const& work : works) calls.push_back({work, truth.ms(work)});
  return calls;
}

std::vector<Work> const kWorks{{1e9, 4e6}, {4e9, 8e6}, {16e9, 16e6}, {64e9, 32e6}};

TEST_CASE("fit rate: calls that follow a fixed time and a rate give both back", "[cost]") {
  StageRate const by_flops = fit_rate(timed({.fixed_ms = 0.5, .tflops = 2.0}, kWorks), RateOf::flops);
  CHECK(by_flops.fixed_ms == Approx(0.5));
  CHECK(by_flops.tflops == Approx(2.0));
  CHECK(by_flops.gbytes_per_s == kNever);
  StageRate const by_bytes = fit_rate(timed({.fixed_ms = 0.02, .gbytes_per_s = 20.0}, kWorks), RateOf::bytes);
  CHECK(by_bytes.fixed_ms == Approx(0.02));
  CHECK(by_bytes.gbytes_per_s == Approx(20.0));
  CHECK(by_bytes.tflops == kNever);
}

TEST_CASE("fit rate: of noisy calls the relative errors are least", "[cost]") {
  support::Random random(4);
  auto calls = timed({.fixed_ms = 0.3, .tflops = 10.0}, {kWorks[0], kWorks[1], kWorks[2], kWorks[3], kWorks[1]});
  for (TimedWork& call : calls) call.ms *= 0.9 + 0.2 * random.uniform();
  StageRate const best = fit_rate(calls, RateOf::flops);
  auto const wrong = [&](StageRate const& rate) {
    double sum = 0.0;
    for (TimedWork const& call : calls) sum += std::pow(rate.ms(call.work) / call.ms - 1.0, 2);
    return sum;
  };
  for (double const factor : {0.99, 1.01}) {
    CHECK(wrong({.fixed_ms = best.fixed_ms * factor, .tflops = best.tflops}) > wrong(best));
    CHECK(wrong({.fixed_ms = best.fixed_ms, .tflops = best.tflops * factor}) > wrong(best));
  }
}

TEST_CASE("fit rate: neither is below zero", "[cost]") {
  // Twice the work in more than twice the time: a fixed time would be negative.
  std::vector<TimedWork> const superlinear{{{1e9, 0}, 1.0}, {{2e9, 0}, 2.5}};
  StageRate const no_start = fit_rate(superlinear, RateOf::flops);
  CHECK(no_start.fixed_ms == 0.0);
  CHECK(no_start.tflops == Approx((1.0 + 0.64) / (1.0 + 0.8)));
  // More work in less time: a rate would be.
  StageRate const no_rate = fit_rate(std::vector<TimedWork>{{{1e9, 0}, 2.0}, {{2e9, 0}, 1.0}}, RateOf::flops);
  CHECK(no_rate.tflops == kNever);
  CHECK(no_rate.fixed_ms == Approx((0.5 + 1.0) / (0.25 + 1.0)));
}

TEST_CASE("fit rate: one length tells nothing of fixed times, no calls tell nothing", "[cost]") {
  StageRate const one = fit_rate(std::vector<TimedWork>{{{4e9, 0}, 2.0}, {{4e9, 0}, 2.0}}, RateOf::flops);
  CHECK(one.fixed_ms == 0.0);
  CHECK(one.tflops == Approx(2.0));
  CHECK(fit_rate({}, RateOf::bytes).ms({1e9, 1e9}) == 0.0);
  CHECK(fit_rate(std::vector<TimedWork>{{{1e9, 0}, 3.0}}, RateOf::bytes).ms({}) == Approx(3.0));
}

}  // namespace
