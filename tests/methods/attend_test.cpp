#include "lacuna/methods/attend.hpp"

#include <vector>

#include "lacuna/methods/dense.hpp"
#include "reference/attention.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/index_case.hpp"
#include "support/memory.hpp"
#include "support/page_case.hpp"
#include "support/sizes.hpp"
#include "support/vertical_slash_case.hpp"

namespace {

using support::Data;
using support::ProblemCase;

/// Attends with what reserve_attend asks for, and compares with dense attention.
template <class Index>
void equals_dense(support::Sizes const& sizes, Index const& index) {
  auto const in = support::make_inputs<float>(sizes, Data::random, 8);
  ProblemCase<float> c(in);
  lacuna::Workspace counting;
  lacuna::reserve_attend(lacuna::Cpu{}, lacuna::shape_of(c.problem()), index, counting);
  support::GuardedMemory memory(counting.used_bytes());
  REQUIRE(lacuna::attend(lacuna::Cpu{}, c.problem(), index, memory.workspace(), c.out()));
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  CHECK(support::explain_answer(c, exact) == "");
  CHECK(memory.guards_untouched());
}

TEST_CASE("attend: every kind of index that leaves nothing out gives dense attention", "[methods]") {
  reference::Units const all = reference::both_ends(100, 100, 0);
  equals_dense({100, 100, 1, 2, 16}, lacuna::DenseIndex{100, 100, 2});
  support::VerticalSlashCase slash({all, all}, {all, all}, 100, 16);
  equals_dense({100, 100, 1, 2, 16}, slash.index());
  support::PageCase pages({{0, 1, 2, 3, 4, 5, 6}}, 100, 16);
  equals_dense({1, 100, 1, 2, 16}, pages.index());
  support::IdTable tokens({all});
  std::vector<std::int32_t> lens{100};
  equals_dense({100, 100, 1, 2, 16}, lacuna::TokenIndex{tokens.ids(), tokens.counts(),
                                                        lacuna::dense_view<std::int32_t, 1>(lens.data(), {1})});
}

}  // namespace
