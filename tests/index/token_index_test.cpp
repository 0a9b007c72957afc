#include "lacuna/index/token_index.hpp"

#include <string>

#include "support/catch.hpp"
#include "support/index_case.hpp"

namespace {

TEST_CASE("token index: check finds what a store must not meet", "[index]") {
  auto complaint = [](reference::Units const& tokens, auto const& spoil) {
    support::IdTable table({{0, 1}, tokens});
    std::vector<std::int32_t> lens{10, 7};
    lacuna::TokenIndex index{table.ids(), table.counts(), lacuna::dense_view<std::int32_t, 1>(lens.data(), {2})};
    spoil(index);
    return std::string(index.check({0, 10, 4, 2, 8}).message);
  };
  auto const nothing = [](lacuna::TokenIndex&) {};
  CHECK(complaint({0, 6}, nothing).empty());
  CHECK(complaint({}, nothing).empty());
  std::string const order = "token_index: tokens must be ascending, unique and below the length";
  CHECK(complaint({6, 0}, nothing) == order);
  CHECK(complaint({6, 6}, nothing) == order);
  CHECK(complaint({7}, nothing) == order);
  CHECK(complaint({-1}, nothing) == order);
  CHECK(complaint({0}, [](auto& i) { i.counts(1) = 99; }) == "token_index: a count is beyond the capacity");
  CHECK(complaint({0}, [](auto& i) { i.lens(1) = 11; }) == "token_index: a head's length is beyond len_k");
  CHECK(complaint({0}, [](auto& i) { i.counts.extents[0] = 1; }) == "token_index: must have one row per KV head");
}

}  // namespace
