#include "lacuna/kernels/window_scores.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/adaptive_heads.hpp"
#include "reference/snap_kv.hpp"
#include "reference/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/kernel_run.hpp"
#include "support/sizes.hpp"

namespace {

using support::Data;
using support::ProblemCase;
using support::Sizes;

struct Mass {
  std::vector<float> columns, diagonals;
  std::string complaint;
};

/// Rows are query heads, or KV heads when `grouped`.
template <class T>
Mass window_scores(ProblemCase<T> const& c, std::int64_t window, bool grouped, lacuna::Cpu exec = {}) {
  auto const problem = c.problem();
  std::int64_t const rows = grouped ? problem.heads_kv() : problem.heads_q(), len = c.inputs().len_k;
  Mass mass;
  mass.columns.assign(static_cast<std::size_t>(rows * len), std::numeric_limits<float>::quiet_NaN());
  mass.diagonals = mass.columns;
  mass.complaint = support::run_in_exact_scratch(
      [&](lacuna::Workspace& w) { lacuna::reserve_window_scores(exec, lacuna::shape_of(problem), window, w); },
      [&](lacuna::Workspace w) {
        return lacuna::window_scores(
            exec,
            lacuna::WindowScoresArgs<T>{problem, window, lacuna::dense_view<float, 2>(mass.columns.data(), {rows, len}),
                                        lacuna::dense_view<float, 2>(mass.diagonals.data(), {rows, len}), w});
      },
      "window_scores: the workspace is smaller than planned", len == 0);
  return mass;
}

/// Every score within a relative tolerance; NaN exactly where the oracle has NaN.
bool close(std::vector<double> const& exact, float const* got, double relative) {
  for (std::size_t u = 0; u < exact.size(); ++u) {
    double const wanted = exact[u], value = got[u];
    if (std::isnan(wanted) != std::isnan(value)) return false;
    if (!std::isnan(wanted) && std::abs(value - wanted) > relative * wanted + 1e-12) return false;
  }
  return true;
}

template <class T>
void equals_the_oracle(Sizes const& sizes, std::int64_t window, Data data) {
  CAPTURE(name_of(sizes), name_of(data), window);
  auto const in = support::make_inputs<T>(sizes, data, 500 + static_cast<std::uint64_t>(sizes.len_k));
  ProblemCase<T> const c(in);
  double const relative = data == Data::huge ? 5e-2 : 2e-5;
  Mass const each = window_scores(c, window, false);
  REQUIRE(each.complaint == "");
  Mass const grouped = window_scores(c, window, true);
  REQUIRE(grouped.complaint == "");
  for (std::int64_t head = 0; head < in.heads_q; ++head) {
    auto const exact = reference::vertical_slash_scores(in, head, window);
    CAPTURE(head);
    REQUIRE(close(exact.columns, each.columns.data() + head * in.len_k, relative));
    REQUIRE(close(exact.slashes, each.diagonals.data() + head * in.len_k, relative));
  }
  for (std::int64_t head = 0; head < in.heads_kv; ++head)
    REQUIRE(close(reference::window_mass(in, head, window), grouped.columns.data() + head * in.len_k, relative));
}

TEST_CASE("window scores: columns and diagonals equal the oracle", "[kernels]") {
  for (Sizes const& sizes : support::prompt_sizes())
    for (std::int64_t window : {1, 2, 16, 64, 100, 256}) equals_the_oracle<float>(sizes, window, Data::random);
}

TEST_CASE("window scores: other storage types equal the oracle", "[kernels]") {
  for (Sizes const& sizes : {Sizes{129, 129, 2, 2, 64}, Sizes{65, 65, 1, 7, 80}}) {
    equals_the_oracle<lacuna::bfloat16>(sizes, 32, Data::random);
    equals_the_oracle<lacuna::half>(sizes, 32, Data::random);
  }
}

TEST_CASE("window scores: tied, huge, tiny, NaN and infinite inputs equal the oracle", "[kernels]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    for (std::int64_t window : {7, 64, 200}) equals_the_oracle<float>({150, 150, 2, 2, 32}, window, data);
}

TEST_CASE("window scores: equal keys give exactly equal scores, so ties stay ties", "[kernels]") {
  ProblemCase<float> const c(support::make_inputs<float>({200, 200, 1, 2, 64}, Data::ties, 5));
  Mass const mass = window_scores(c, 32, false);
  REQUIRE(mass.complaint == "");
  for (std::size_t j = 1; j <= 168; ++j) {
    CAPTURE(j);
    CHECK(mass.columns[j] == mass.columns[0]);
    CHECK(mass.diagonals[j] == mass.diagonals[0]);
  }
}

TEST_CASE("window scores: keys that are equal and lie far apart have equal scores", "[kernels]") {
  auto in = support::make_inputs<float>({700, 700, 1, 1, 64}, Data::random, 6);
  for (std::size_t x = 0; x < 256 * 64; ++x) in.k[256 * 64 + x] = in.k[x];
  Mass const mass = window_scores(ProblemCase<float>(in), 100, false);
  for (std::size_t j = 0; j < 256; ++j) {
    CAPTURE(j);
    CHECK(mass.columns[j] == mass.columns[256 + j]);
  }
}

TEST_CASE("window scores: keys beyond those whose scores are kept equal the oracle", "[kernels]") {
  equals_the_oracle<float>({70, lacuna::cpu::kKeptKeys + 200, 1, 2, 16}, 70, Data::random);
}

TEST_CASE("window scores: any layout, any number of workers and any order give the same bits", "[kernels]") {
  lacuna::ThreadPool pool(3);
  auto const in = support::make_inputs<float>({400, 400, 2, 3, 64}, Data::random, 7);
  Mass const first = window_scores(ProblemCase<float>(in), 100, true);
  for (auto const& layout : support::layouts()) {
    for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
      CAPTURE(name_of(layout), exec.workers);
      Mass const mass = window_scores(ProblemCase<float>(in, layout), 100, true, exec);
      REQUIRE(mass.complaint == "");
      REQUIRE(mass.columns == first.columns);
      REQUIRE(mass.diagonals == first.diagonals);
    }
  }
}

TEST_CASE("window scores: arguments that do not fit together are refused", "[kernels]") {
  ProblemCase<float> const c(support::make_inputs<float>({20, 20, 2, 2, 16}, Data::random, 5));
  std::vector<float> columns(80), diagonals(80);
  support::GuardedMemory memory(1 << 20);
  auto complaint = [&](auto const& spoil) {
    lacuna::WindowScoresArgs<float> args{c.problem(), 8, lacuna::dense_view<float, 2>(columns.data(), {4, 20}),
                                         lacuna::dense_view<float, 2>(diagonals.data(), {4, 20}), memory.workspace()};
    spoil(args);
    return std::string(lacuna::window_scores(lacuna::Cpu{}, args).message);
  };
  CHECK(complaint([](auto&) {}).empty());
  CHECK(complaint([](auto& a) { a.diagonals.data = nullptr; }).empty());
  CHECK(complaint([](auto& a) { a.problem.kv.k = nullptr; }) ==
        "problem: k and v must not be null when tokens are held");
  CHECK(complaint([](auto& a) { a.window = 0; }) == "window_scores: window must be at least 1");
  CHECK(complaint([](auto& a) { a.columns.extents[0] = 3; }) ==
        "window_scores: columns must have one row per KV head or per query head");
  CHECK(complaint([](auto& a) { a.columns.extents[1] = 19; }) == "window_scores: columns must be as wide as len_k");
  CHECK(complaint([](auto& a) { a.diagonals.extents[0] = 2; }) ==
        "window_scores: columns and diagonals must have the same extents");
}

TEST_CASE("window scores: the highest weight of any query of a group, where a row is a KV head", "[kernels]") {
  for (Data data : {Data::random, Data::nan_key}) {
    auto const in = support::make_inputs<float>({40, 90, 2, 3, 20}, data, 12);
    ProblemCase<float> c(in);
    std::vector<float> columns(2 * 90, 7.0F);
    lacuna::Workspace counting;
    lacuna::reserve_window_scores(lacuna::Cpu{}, lacuna::shape_of(c.problem()), 16, counting);
    support::GuardedMemory scratch(counting.used_bytes());
    lacuna::WindowScoresArgs<float> args{c.problem(),
                                         16,
                                         lacuna::dense_view<float, 2>(columns.data(), {2, 90}),
                                         {},
                                         scratch.workspace(),
                                         lacuna::WindowReduction::highest};
    REQUIRE(lacuna::window_scores<float>(lacuna::Cpu{}, args));
    for (std::int64_t head = 0; head < 2; ++head) {
      auto const exact = reference::window_peak(in, head, 16);
      for (std::int64_t j = 0; j < 90; ++j) {
        double const got = columns[static_cast<std::size_t>(head * 90 + j)];
        double const wanted = exact[static_cast<std::size_t>(j)];
        CAPTURE(head, j, got, wanted);
        REQUIRE((std::isnan(wanted) ? std::isnan(got) : std::abs(got - wanted) <= 2e-6));
      }
    }
    args.behind = 40;
    CHECK(std::string(args.check().message) == "window_scores: behind must leave a query");
    args.behind = 0;
    args.diagonals = args.columns;
    CHECK(std::string(lacuna::window_scores<float>(lacuna::Cpu{}, args).message) ==
          "window_scores: diagonals are plain sums over the last queries; otherwise their data must be null");
  }
}

}  // namespace
