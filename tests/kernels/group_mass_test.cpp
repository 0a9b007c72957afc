#include "lacuna/kernels/group_mass.hpp"

#include <string>
#include <vector>

#include "reference/antidiagonal.hpp"
#include "support/catch.hpp"
#include "support/sizes.hpp"

namespace {

using support::Data;
using support::ProblemCase;

TEST_CASE("group_mass: one query group of any stride equals the oracle", "[kernels]") {
  for (std::int64_t stride : {1, 2, 8, 16})
    for (std::int64_t len : {1, 15, 16, 17, 70, 149}) {
      CAPTURE(stride, len);
      auto const in = support::make_inputs<float>({len, len, 1, 2, 24}, Data::random, 4);
      ProblemCase<float> c(in);
      std::int64_t const m = (len - 1) / 16, first = m * 16 / stride, end = (len + stride - 1) / stride;
      std::vector<float> mass(static_cast<std::size_t>(m + 1));
      std::vector<float> scratch(
          static_cast<std::size_t>(lacuna::group_mass_floats(end - first, stride, m + 1, in.dim)));
      lacuna::GroupMassArgs<float> const args{
          c.problem(),   1, stride, first, end - first, 16, lacuna::dense_view<float, 2>(mass.data(), {1, m + 1}),
          scratch.data()};
      REQUIRE(lacuna::group_mass<float>({}, args));
      auto const exact = reference::antidiagonal_scores(in, 1, m, 16, stride);
      double sum = 0.0;
      for (std::size_t block = 0; block < mass.size(); ++block) {
        CHECK(static_cast<double>(mass[block]) == Approx(exact[block]).margin(1e-6));
        sum += static_cast<double>(mass[block]);
      }
      CHECK(sum == Approx(1.0).epsilon(1e-5));
    }
}

TEST_CASE("group_mass: shapes are checked", "[kernels]") {
  ProblemCase<float> c(support::make_inputs<float>({20, 40, 1, 2, 16}, Data::random, 1));
  std::vector<float> mass(9);
  auto const complaint = [&](std::int64_t head, std::int64_t stride, std::int64_t first, std::int64_t groups,
                             std::int64_t blocks) {
    return std::string(lacuna::GroupMassArgs<float>{c.problem(), head, stride, first, groups, 16,
                                                    lacuna::dense_view<float, 2>(mass.data(), {1, blocks}), nullptr}
                           .check()
                           .message);
  };
  CHECK(complaint(0, 4, 8, 2, 3).empty());
  CHECK(complaint(0, 3, 8, 2, 3) == "group_mass: stride must divide block_tokens");
  CHECK(complaint(2, 4, 8, 2, 3) == "group_mass: head must be a query head");
  CHECK(complaint(0, 4, 4, 2, 2) == "group_mass: every group must hold a query");
  CHECK(complaint(0, 4, 8, 3, 3) == "group_mass: every group must hold a query");
  CHECK(complaint(0, 4, 8, 2, 2) == "group_mass: mass must have a row per query block and the blocks up to the last");
}

}  // namespace
