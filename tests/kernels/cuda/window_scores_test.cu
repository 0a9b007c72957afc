#include "lacuna/kernels/window_scores.hpp"

#include <cmath>
#include <vector>

#include "reference/adaptive_heads.hpp"
#include "reference/snap_kv.hpp"
#include "reference/vertical_slash.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/inputs.hpp"
#include "support/on_path.hpp"

namespace {

using lacuna::WindowReduction;
using support::BatchCase;
using support::Data;
using support::DeviceArray;
using support::Sizes;

struct Mass {
  std::int64_t wide;
  std::vector<float> columns, diagonals;
};

template <class T>
Mass window_scores(BatchCase<T> const& c, std::int64_t window, std::int64_t heads, WindowReduction reduction) {
  support::Stream stream;
  auto const problem = c.problem();
  std::int64_t const rows = problem.batch * heads, wide = problem.max_len_k;
  bool const diagonals = reduction == WindowReduction::sum;
  DeviceArray<float> d_columns(static_cast<std::size_t>(rows * wide)), d_diagonals(d_columns.size());
  lacuna::Workspace counting;
  lacuna::reserve_window_scores(lacuna::Cuda{stream}, lacuna::shape_of(problem), window, heads, diagonals, counting);
  support::DeviceMemory scratch(counting.used_bytes());
  lacuna::WindowScoresBatchArgs<T> args;
  args.problem = problem;
  args.window = window;
  args.columns = lacuna::dense_view<float, 2>(d_columns.data(), {rows, wide});
  if (diagonals) args.diagonals = lacuna::dense_view<float, 2>(d_diagonals.data(), {rows, wide});
  args.scratch = scratch.workspace();
  args.reduction = reduction;
  auto const s = lacuna::window_scores(lacuna::Cuda{stream}, args);
  CAPTURE(s.message);
  REQUIRE(s);
  stream.wait();
  REQUIRE(scratch.guards_untouched());
  REQUIRE(d_columns.guards_untouched());
  REQUIRE(d_diagonals.guards_untouched());
  return {wide, d_columns.download(), d_diagonals.download()};
}

/// Every score within a tolerance; NaN exactly where the oracle has NaN. Empty when so.
std::string explain(std::vector<double> const& exact, float const* got, double relative) {
  for (std::size_t u = 0; u < exact.size(); ++u) {
    double const wanted = exact[u], value = got[u];
    bool const right = std::isnan(wanted) ? std::isnan(value) : std::abs(value - wanted) <= relative * wanted + 1e-7;
    if (!right)
      return "unit " + std::to_string(u) + ": " + std::to_string(value) + ", exactly " + std::to_string(wanted);
  }
  return "";
}

template <class T>
void equals_the_oracle(std::vector<Sizes> const& sizes, std::int64_t window, Data data = Data::random,
                       support::Layout layout = {}, void (*change)(reference::Inputs&) = nullptr) {
  CAPTURE(window, name_of(data), sizes[0].len_k, sizes[0].dim, sizes[0].group, layout.page_tokens);
  std::vector<reference::Inputs> inputs;
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    inputs.push_back(support::make_inputs<T>(sizes[b], data, 500 + b));
    if (change != nullptr) change(inputs.back());
  }
  BatchCase<T> const c(inputs, layout);
  double const relative = data == Data::huge ? 5e-2 : 2e-4;
  auto const& first = inputs[0];
  Mass const each = window_scores(c, window, first.heads_q, WindowReduction::sum);
  Mass const again = window_scores(c, window, first.heads_q, WindowReduction::sum);
  Mass const grouped = window_scores(c, window, first.heads_kv, WindowReduction::sum);
  Mass const highest = window_scores(c, window, first.heads_kv, WindowReduction::highest);
  for (std::size_t b = 0; b < inputs.size(); ++b) {
    auto const& in = inputs[b];
    CAPTURE(b);
    auto const at = [&](Mass const& mass, std::int64_t heads, std::int64_t head) {
      return (static_cast<std::int64_t>(b) * heads + head) * mass.wide;
    };
    std::vector<reference::VerticalSlashScores> exact;
    for (std::int64_t head = 0; head < in.heads_q; ++head) {
      exact.push_back(reference::vertical_slash_scores(in, head, window));
      CAPTURE(head);
      std::int64_t const row = at(each, in.heads_q, head);
      REQUIRE(explain(exact.back().columns, each.columns.data() + row, relative) == "");
      REQUIRE(explain(exact.back().slashes, each.diagonals.data() + row, relative) == "");
      for (std::int64_t u = 0; u < in.len_k && data != Data::nan_key; ++u) {
        REQUIRE(each.columns[static_cast<std::size_t>(row + u)] == again.columns[static_cast<std::size_t>(row + u)]);
        REQUIRE(each.diagonals[static_cast<std::size_t>(row + u)] ==
                again.diagonals[static_cast<std::size_t>(row + u)]);
      }
    }
    for (std::int64_t head = 0; head < in.heads_kv; ++head) {
      CAPTURE(head);
      std::int64_t const row = at(grouped, in.heads_kv, head);
      REQUIRE(explain(reference::window_mass(in, head, window), grouped.columns.data() + row, relative) == "");
      REQUIRE(explain(reference::window_peak(in, head, window), highest.columns.data() + row, relative) == "");
      std::vector<double> slashes(static_cast<std::size_t>(in.len_k));
      for (std::int64_t g = 0; g < in.group(); ++g)
        for (std::size_t o = 0; o < slashes.size(); ++o)
          slashes[o] +=
              exact[static_cast<std::size_t>(head * in.group() + g)].slashes[o] / static_cast<double>(in.group());
      REQUIRE(explain(slashes, grouped.diagonals.data() + row, relative) == "");
    }
  }
}

void any_shape_equals_the_oracle() {
  for (std::int64_t window : {1, 2, 16, 64, 100, 256})
    equals_the_oracle<lacuna::bfloat16>(
        {{300, 300, 2, 4, 128}, {77, 210, 2, 4, 128}, {1, 130, 2, 4, 128}, {64, 64, 2, 4, 128}, {1, 1, 2, 4, 128}},
        window);
  equals_the_oracle<lacuna::half>({{129, 257, 1, 7, 64}, {65, 65, 1, 7, 64}}, 100);
  equals_the_oracle<lacuna::half>({{200, 200, 2, 1, 256}, {33, 190, 2, 1, 256}}, 130);
  equals_the_oracle<lacuna::bfloat16>({{2100, 4300, 1, 5, 64}}, 512);
  equals_the_oracle<lacuna::bfloat16>({{0, 50, 2, 2, 64}, {0, 0, 2, 2, 64}}, 64);
}

void any_data_equals_the_oracle() {
  for (Data data : {Data::ties, Data::huge, Data::nan_key})
    equals_the_oracle<lacuna::bfloat16>({{150, 150, 2, 2, 64}}, 70, data);
}

void any_layout_and_mask_equals_the_oracle() {
  for (support::Layout const& layout : {support::Layout{.padding = 8}, support::Layout{.heads_first = true},
                                        support::Layout{.page_tokens = 16}, support::Layout{.page_tokens = 7}})
    equals_the_oracle<lacuna::bfloat16>({{100, 140, 2, 2, 64}, {65, 65, 2, 2, 64}}, 64, Data::random, layout);
  equals_the_oracle<lacuna::bfloat16>({{150, 200, 2, 2, 64}}, 100, Data::random, {},
                                      [](reference::Inputs& in) { in.window_tokens = 50; });
  equals_the_oracle<lacuna::bfloat16>({{150, 200, 2, 2, 64}}, 100, Data::random, {},
                                      [](reference::Inputs& in) { in.soft_cap = 2.0; });
  equals_the_oracle<lacuna::bfloat16>({{150, 200, 2, 2, 64}}, 100, Data::random, {}, [](reference::Inputs& in) {
    in.sink_logits = {0.5, -1.0, 3.0, 1.0};
  });
}

TEST_CASE("cuda window scores: columns and diagonals equal the oracle", "[kernels]") { any_shape_equals_the_oracle(); }

TEST_CASE("cuda window scores: tied, huge and infinite inputs, and keys that are NaN", "[kernels]") {
  any_data_equals_the_oracle();
}

TEST_CASE("cuda window scores: layouts, pages, windows, caps and sinks", "[kernels]") {
  any_layout_and_mask_equals_the_oracle();
}

TEST_CASE("cuda window scores: the same by wgmma, where it is asked for", "[.hopper]") {
  support::OnPath const hopper(lacuna::cuda::Path::hopper);
  any_data_equals_the_oracle();
  any_layout_and_mask_equals_the_oracle();
  any_shape_equals_the_oracle();
}

}  // namespace

// For the tests of whole methods, which do not compile it again (support/cuda_doors.hpp).
template lacuna::Status lacuna::window_scores<lacuna::bfloat16>(lacuna::Cuda,
                                                                lacuna::WindowScoresBatchArgs<lacuna::bfloat16> const&);
