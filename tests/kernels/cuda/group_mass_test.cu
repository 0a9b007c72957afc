#include "lacuna/kernels/group_mass.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "reference/antidiagonal.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/inputs.hpp"
#include "support/on_path.hpp"

namespace {

using support::BatchCase;
using support::Data;
using support::DeviceArray;
using support::Sizes;

template <class T>
void equals_the_oracle(std::vector<Sizes> const& sizes, std::int64_t tokens, std::int64_t stride,
                       Data data = Data::random, void (*change)(reference::Inputs&) = nullptr,
                       support::Layout layout = {}) {
  CAPTURE(tokens, stride, name_of(data), sizes[0].dim);
  std::vector<reference::Inputs> inputs;
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    inputs.push_back(support::make_inputs<T>(sizes[b], data, 60 + b));
    if (change != nullptr) change(inputs.back());
  }
  BatchCase<T> const c(inputs, layout);
  support::Stream stream;
  lacuna::Cuda const exec{stream};
  auto const problem = c.problem();
  std::int64_t const rows = lacuna::BlockIndex::first_row(problem.batch, problem.tokens_q(), tokens);
  std::int64_t const wide = (problem.max_len_k + tokens - 1) / tokens, heads = problem.heads_q();
  DeviceArray<float> d_scores(static_cast<std::size_t>(heads * rows * wide));
  constexpr std::int64_t kChunk = 5;
  lacuna::Workspace counting;
  lacuna::reserve_group_mass(exec, lacuna::shape_of(problem), stride, tokens, kChunk, counting);
  support::DeviceMemory scratch(counting.used_bytes());
  for (std::int64_t first = 0; first < rows; first += kChunk) {
    std::int64_t const count = std::min(kChunk, rows - first);
    auto const s = lacuna::group_mass(
        exec,
        lacuna::GroupMassBatchArgs<T>{problem,
                                      stride,
                                      tokens,
                                      first,
                                      {d_scores.data() + first * wide, {heads, count, wide}, {rows * wide, wide, 1}},
                                      scratch.workspace()});
    CAPTURE(s.message);
    REQUIRE(s);
  }
  stream.wait();
  auto const got = d_scores.download();
  REQUIRE(d_scores.guards_untouched());
  REQUIRE(scratch.guards_untouched());
  double const relative = data == Data::huge ? 5e-2 : 5e-5;
  std::int64_t first_query = 0;
  for (std::size_t b = 0; b < inputs.size(); first_query += inputs[b].len_q, ++b) {
    auto const& in = inputs[b];
    if (in.len_q == 0) continue;
    std::int64_t const first_row = lacuna::BlockIndex::first_row(static_cast<std::int64_t>(b), first_query, tokens);
    std::int64_t const first_block = (in.len_k - in.len_q) / tokens;
    for (std::int64_t head = 0; head < heads; ++head)
      for (std::int64_t m = first_block; m <= (in.len_k - 1) / tokens; ++m) {
        auto const exact = reference::antidiagonal_scores(in, head, m, tokens, stride);
        std::int64_t const position = std::max(m * tokens, in.len_k - in.len_q);
        for (std::int64_t block = 0; block <= m; ++block) {
          float const value = got[static_cast<std::size_t>((head * rows + first_row + m - first_block) * wide + block)];
          double const wanted = exact[static_cast<std::size_t>(block)];
          CAPTURE(b, head, m, block, wanted, value);
          if (in.window_tokens > 0 && (block + 1) * tokens - 1 < position + 1 - in.window_tokens)
            REQUIRE(value == -std::numeric_limits<float>::infinity());
          else if (std::isnan(wanted))
            REQUIRE(std::isnan(value));
          else
            REQUIRE(std::abs(value - wanted) <= relative * wanted + 1e-9);
        }
      }
  }
}

void any_shape_equals_the_oracle() {
  for (std::int64_t stride : {1, 4, 8, 16})
    equals_the_oracle<lacuna::bfloat16>(
        {{300, 300, 2, 2, 128}, {77, 210, 2, 2, 128}, {0, 50, 2, 2, 128}, {1, 130, 2, 2, 128}, {1, 1, 2, 2, 128}}, 128,
        stride);
  for (std::int64_t stride : {8, 16})
    equals_the_oracle<lacuna::half>({{129, 257, 1, 5, 64}, {64, 64, 1, 5, 64}}, 16, stride);
  equals_the_oracle<lacuna::half>({{290, 290, 2, 1, 256}}, 64, 8);
  equals_the_oracle<lacuna::bfloat16>({{1500, 1500, 1, 1, 64}}, 64, 4);
}

void any_data_layout_and_mask_equals_the_oracle(std::int64_t tokens) {
  for (Data data : {Data::ties, Data::huge, Data::nan_key})
    equals_the_oracle<lacuna::bfloat16>({{150, 200, 2, 2, 64}}, tokens, 8, data);
  for (support::Layout const& layout : {support::Layout{.padding = 8}, support::Layout{.page_tokens = 7}})
    equals_the_oracle<lacuna::bfloat16>({{150, 200, 2, 2, 64}}, tokens, 8, Data::random, nullptr, layout);
  equals_the_oracle<lacuna::bfloat16>({{150, 200, 2, 2, 64}}, tokens, 8, Data::random,
                                      [](reference::Inputs& in) { in.window_tokens = 50; });
  equals_the_oracle<lacuna::bfloat16>({{150, 200, 2, 2, 64}}, tokens, 8, Data::random,
                                      [](reference::Inputs& in) { in.soft_cap = 2.0; });
}

TEST_CASE("cuda group mass: equals the oracle, whatever the batch, head size, block and stride", "[kernels]") {
  any_shape_equals_the_oracle();
}

TEST_CASE("cuda group mass: huge and tied inputs, NaN, windows, caps and pages", "[kernels]") {
  any_data_layout_and_mask_equals_the_oracle(32);
}

TEST_CASE("cuda group mass: the same by wgmma, where it is asked for", "[.hopper]") {
  support::OnPath const hopper(lacuna::cuda::Path::hopper);
  any_data_layout_and_mask_equals_the_oracle(64);  // 8 groups a block, the fewest that it serves
  any_shape_equals_the_oracle();
}

}  // namespace

// For the tests of whole methods, which do not compile it again (support/cuda_doors.hpp).
template lacuna::Status lacuna::group_mass<lacuna::bfloat16>(lacuna::Cuda,
                                                             lacuna::GroupMassBatchArgs<lacuna::bfloat16> const&);
