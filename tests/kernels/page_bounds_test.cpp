#include "lacuna/kernels/page_bounds.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "support/bounds_check.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/sizes.hpp"

namespace {

using support::Data;
using support::ProblemCase;

template <class T>
void equals_the_oracle(support::Sizes const& sizes, std::int64_t page_tokens, Data data,
                       support::Layout const& layout = {}) {
  CAPTURE(name_of(sizes), page_tokens, name_of(data), name_of(layout));
  auto const in = support::make_inputs<T>(sizes, data, 50);
  ProblemCase<T> c(in, layout);
  std::int64_t const pages = sizes.len_k / page_tokens + 1;
  std::vector<T> memory(static_cast<std::size_t>(in.heads_kv * pages * 2 * in.dim), support::poison<T>());
  auto const bounds = lacuna::dense_view<T, 4>(memory.data(), {in.heads_kv, pages, 2, in.dim});
  // All at once, and then token by token: the same bits.
  REQUIRE(
      lacuna::page_bounds(lacuna::Cpu{}, lacuna::PageBoundsArgs<T>{c.problem().kv, sizes.len_k, bounds, page_tokens}));
  REQUIRE(support::explain_bounds<T>(bounds, in, page_tokens) == "");
  std::fill(memory.begin(), memory.end(), support::poison<T>());
  for (std::int64_t len = 1; len <= sizes.len_k; ++len) {
    auto kv = c.problem().kv;
    kv.len = len;
    REQUIRE(lacuna::page_bounds(support::backwards(2), lacuna::PageBoundsArgs<T>{kv, 1, bounds, page_tokens}));
    auto shorter = in;
    shorter.len_k = len;
    REQUIRE(support::explain_bounds<T>(bounds, shorter, page_tokens) == "");
  }
}

TEST_CASE("page bounds: at once or token by token, they equal the oracle's", "[kernels]") {
  for (std::int64_t page_tokens : {1, 7, 16, 64}) {
    equals_the_oracle<float>({1, 70, 2, 2, 16}, page_tokens, Data::random);
    equals_the_oracle<lacuna::bfloat16>({1, 70, 1, 1, 80}, page_tokens, Data::random);
    equals_the_oracle<lacuna::half>({1, 33, 1, 1, 5}, page_tokens, Data::random);
  }
}

TEST_CASE("page bounds: tied, huge, tiny and NaN keys, and any layout", "[kernels]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key})
    equals_the_oracle<float>({1, 60, 2, 1, 16}, 16, data);
  for (auto const& layout : support::layouts()) equals_the_oracle<float>({1, 60, 2, 1, 16}, 16, Data::random, layout);
}

TEST_CASE("page bounds: a NaN in the last channel, or in the last token of a page, is not missed", "[kernels]") {
  for (std::int64_t token : {0, 15, 16, 31, 40}) {
    for (std::int64_t channel : {0, 7, 16}) {
      CAPTURE(token, channel);
      auto in = support::make_inputs<float>({1, 41, 1, 1, 17}, Data::random, 51);
      in.k[static_cast<std::size_t>(token * 17 + channel)] = std::nan("");
      ProblemCase<float> c(in);
      std::vector<float> memory(3 * 2 * 17);
      auto const bounds = lacuna::dense_view<float, 4>(memory.data(), {1, 3, 2, 17});
      REQUIRE(lacuna::page_bounds(lacuna::Cpu{}, lacuna::PageBoundsArgs<float>{c.problem().kv, 41, bounds, 16}));
      REQUIRE(support::explain_bounds<float>(bounds, in, 16) == "");
    }
  }
}

TEST_CASE("page bounds: arguments that do not fit together are refused", "[kernels]") {
  ProblemCase<float> c(support::make_inputs<float>({1, 40, 1, 1, 16}, Data::random, 3));
  std::vector<float> memory(3 * 2 * 16);
  auto complaint = [&](auto const& spoil) {
    lacuna::PageBoundsArgs<float> args{c.problem().kv, 40, lacuna::dense_view<float, 4>(memory.data(), {1, 3, 2, 16}),
                                       16};
    spoil(args);
    return std::string(lacuna::page_bounds(lacuna::Cpu{}, args).message);
  };
  CHECK(complaint([](auto&) {}).empty());
  CHECK(complaint([](auto& a) { a.page_tokens = 0; }) == "page_bounds: page_tokens must be at least 1");
  CHECK(complaint([](auto& a) { a.bounds.extents[2] = 1; }) == "page_bounds: bounds must be [heads_kv, pages, 2, dim]");
  CHECK(complaint([](auto& a) { a.bounds.extents[1] = 2; }) == "page_bounds: more tokens than pages");
}

}  // namespace
