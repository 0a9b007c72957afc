#include "reference/snap_kv.hpp"

#include "support/catch.hpp"

namespace {

using reference::Units;
using reference::UnitScores;

TEST_CASE("reference snap-kv: smoothing counts what lies outside as zero", "[reference]") {
  UnitScores const smoothed = reference::smooth(UnitScores(9, 1.0), 5);
  UnitScores const expected{0.6, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6};
  for (std::size_t j = 0; j < expected.size(); ++j) CHECK(smoothed[j] == Approx(expected[j]));
  CHECK(reference::smooth({4.0, 5.0}, 1) == UnitScores{4.0, 5.0});
  CHECK(reference::smooth({3.0}, 3)[0] == Approx(1.0));
}

TEST_CASE("reference snap-kv: mean over the group, sum over the window", "[reference]") {
  // Even attention of two heads: each row spreads 1 over the keys that it sees.
  reference::Inputs const in{3, 3, 2, 1, 1, {0, 0, 0, 0, 0, 0}, {1, 2, 3}, {0, 0, 0}};
  UnitScores const mass = reference::window_mass(in, 0, 2);
  CHECK(mass[0] == Approx(5.0 / 6));
  CHECK(mass[1] == Approx(5.0 / 6));
  CHECK(mass[2] == Approx(1.0 / 3));
}

TEST_CASE("reference snap-kv: forced tokens spend the capacity, ties go to the front", "[reference]") {
  reference::Inputs in{8, 8, 1, 1, 1, {}, {}, {}};
  in.q.assign(8, 0.0);
  in.k.assign(8, 1.0);
  in.v.assign(8, 0.0);
  CHECK(reference::snap_kv_tokens(in, 0, {4, 1, 1, 1, 2}) == Units{0, 1, 6, 7});
  CHECK(reference::snap_kv_tokens(in, 0, {8, 1, 1, 1, 2}) == Units{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(reference::snap_kv_tokens(in, 0, {100, 1, 1, 1, 2}).size() == 8);
}

}  // namespace
