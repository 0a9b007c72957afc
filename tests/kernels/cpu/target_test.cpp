#include "lacuna/kernels/cpu/target.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/kernels/attend_dense.hpp"
#include "support/catch.hpp"

namespace {

using lacuna::cpu::Target;

/// Restores what the process ran on.
struct Restored {
  Target const before = lacuna::cpu::target();
  ~Restored() { lacuna::cpu::use_target(before); }
};

std::vector<float> attend(lacuna::Status& status) {
  constexpr std::int64_t kTokens = 150, kDim = 40;
  std::vector<float> x(kTokens * kDim), out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i * i % 1009));
  lacuna::Problem<float> problem{lacuna::dense_view<float const, 3>(x.data(), {kTokens, 1, kDim}), {}};
  problem.kv.k = problem.kv.v = x.data();
  problem.kv.heads_kv = 1;
  problem.kv.dim = problem.kv.stride_token = kDim;
  problem.kv.len = kTokens;
  alignas(64) static float memory[1 << 16];
  status = lacuna::attend_dense<float>(
      lacuna::Cpu{},
      {problem, {lacuna::dense_view<float, 3>(out.data(), {kTokens, 1, kDim})}, {memory, sizeof memory}});
  return out;
}

TEST_CASE("target: every machine has the baseline, and runs on something that it has", "[kernels]") {
  CHECK(lacuna::cpu::has_target(Target::baseline));
  CHECK(lacuna::cpu::has_target(lacuna::cpu::target()));
}

TEST_CASE("target: each instruction set of this machine gives the same answer up to rounding", "[kernels]") {
  Restored const restored;
  lacuna::Status status;
  lacuna::cpu::use_target(Target::baseline);
  std::vector<float> const expected = attend(status);
  REQUIRE(status);
  for (Target const target : lacuna::cpu::kTargets) {
    if (!lacuna::cpu::has_target(target)) continue;
    CAPTURE(lacuna::cpu::name_of(target));
    lacuna::cpu::use_target(target);
    std::vector<float> const got = attend(status);
    REQUIRE(status);
    float worst = 0.0F;
    for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]));
    CHECK(worst <= 2e-6F);
  }
}

}  // namespace
