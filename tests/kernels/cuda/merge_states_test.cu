#include "lacuna/kernels/merge_states.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/device.hpp"
#include "support/inputs.hpp"
#include "support/problem_case.hpp"
#include "support/random.hpp"

namespace {

/// Parts as they come from attention: some rows see no key in some parts, some in none.
template <class T>
struct Parts {
  std::int64_t parts, queries, heads, dim;
  std::vector<T> outs;
  std::vector<float> lses;

  Parts(std::int64_t parts, std::int64_t queries, std::int64_t heads, std::int64_t dim, std::uint64_t seed)
      : parts(parts), queries(queries), heads(heads), dim(dim) {
    support::Random random(seed);
    for (std::int64_t i = 0; i < parts * queries * heads; ++i) {
      std::int64_t const row = i % (queries * heads);
      bool const nothing = row == 1 || random.below(4) == 0;
      lses.push_back(nothing ? -std::numeric_limits<float>::infinity() : static_cast<float>(30.0 * random.normal()));
      for (std::int64_t x = 0; x < dim; ++x)
        outs.push_back(nothing ? support::poison<T>() : support::stored<T>(support::round_to<T>(random.normal())));
    }
  }

  void check(std::vector<T> const& out, std::vector<float> const& lse) const {
    std::int64_t const rows = queries * heads;
    for (std::int64_t row = 0; row < rows; ++row) {
      double highest = -std::numeric_limits<double>::infinity(), mass = 0.0;
      auto const lse_of = [&](std::int64_t p) { return double{lses[static_cast<std::size_t>(p * rows + row)]}; };
      for (std::int64_t p = 0; p < parts; ++p) highest = std::max(highest, lse_of(p));
      for (std::int64_t p = 0; p < parts && std::isfinite(highest); ++p) mass += std::exp(lse_of(p) - highest);
      double const exact = mass > 0.0 ? highest + std::log(mass) : highest;
      float const got = lse[static_cast<std::size_t>(row)];
      CAPTURE(parts, dim, row, got, exact);
      REQUIRE((std::isfinite(exact) ? std::abs(got - exact) <= 2e-6 * std::max(1.0, std::abs(exact)) : got == exact));
      for (std::int64_t x = 0; x < dim; ++x) {
        double wanted = 0.0, spread = 0.0;
        for (std::int64_t p = 0; p < parts; ++p) {
          if (!std::isfinite(lse_of(p))) continue;
          double const value = lacuna::to_float(outs[static_cast<std::size_t>((p * rows + row) * dim + x)]);
          wanted += std::exp(lse_of(p) - highest) / mass * value;
          spread += std::exp(lse_of(p) - highest) / mass * std::abs(value);
        }
        double const value = lacuna::to_float(out[static_cast<std::size_t>(row * dim + x)]);
        REQUIRE(std::abs(value - wanted) <= support::unit_roundoff<T>() * std::abs(wanted) + 2e-5 * spread);
      }
    }
  }
};

template <class T>
void merges(std::int64_t parts, std::int64_t queries, std::int64_t heads, std::int64_t dim) {
  Parts<T> const p(parts, queries, heads, dim, 7);
  support::DeviceArray<T> const outs(p.outs), out(static_cast<std::size_t>(queries * heads * dim));
  support::DeviceArray<float> const lses(p.lses), lse(static_cast<std::size_t>(queries * heads));
  support::Stream stream;
  lacuna::MergeStatesArgs<T> const args{
      lacuna::dense_view<T const, 4>(outs.data(), {parts, queries, heads, dim}),
      lacuna::dense_view<float const, 3>(lses.data(), {parts, queries, heads}),
      lacuna::dense_view<T, 3>(out.data(), {queries, heads, dim}),
      lacuna::dense_view<float, 2>(lse.data(), {queries, heads}),
  };
  REQUIRE(std::string(lacuna::merge_states(lacuna::Cuda{stream}, args).message) == "");
  stream.wait();
  REQUIRE((out.guards_untouched() && lse.guards_untouched()));
  p.check(out.download(), lse.download());
}

TEST_CASE("cuda merge states: parts become the whole, whatever their number, dim and type", "[cuda]") {
  for (std::int64_t parts : {1, 2, 5, 40})
    for (std::int64_t dim : {1, 64, 80, 128, 256, 300}) {
      merges<lacuna::bfloat16>(parts, 3, 5, dim);
      merges<lacuna::half>(parts, 2, 4, dim);
      merges<float>(parts, 1, 7, dim);
    }
}

TEST_CASE("cuda merge states: a broken part breaks its row, and what does not fit is refused", "[cuda]") {
  float const nan = std::nanf("");
  for (auto const& order : {std::vector<float>{nan, 2.0F}, std::vector<float>{2.0F, nan}}) {
    support::DeviceArray<float> const outs(std::vector<float>{1.0F, 3.0F}), lses(order);
    support::DeviceArray<float> const out(std::size_t{1}), lse(std::size_t{1});
    lacuna::MergeStatesArgs<float> args{lacuna::dense_view<float const, 4>(outs.data(), {2, 1, 1, 1}),
                                        lacuna::dense_view<float const, 3>(lses.data(), {2, 1, 1}),
                                        lacuna::dense_view<float, 3>(out.data(), {1, 1, 1}),
                                        lacuna::dense_view<float, 2>(lse.data(), {1, 1})};
    support::Stream stream;
    REQUIRE(lacuna::merge_states(lacuna::Cuda{stream}, args));
    stream.wait();
    REQUIRE((std::isnan(out.download()[0]) && std::isnan(lse.download()[0])));
    args.part_lse.extents[0] = 1;
    REQUIRE(std::string(lacuna::merge_states(lacuna::Cuda{stream}, args).message) ==
            "merge_states: part_lse must be [parts, len_q, heads_q]");
    std::int64_t const rows = std::int64_t{1} << 31;  // all of them the same one
    args = {{outs.data(), {2, rows, 1, 1}, {1, 0, 0, 1}},
            {lses.data(), {2, rows, 1}, {1, 0, 0}},
            {out.data(), {rows, 1, 1}, {0, 0, 1}},
            {}};
    REQUIRE(std::string(lacuna::merge_states(lacuna::Cuda{stream}, args).message) ==
            "merge_states: at most 2^31 rows on the device");
  }
}

}  // namespace
