#include "lacuna/index/page_index.hpp"

#include <string>

#include "reference/golden.hpp"
#include "reference/quest.hpp"
#include "support/catch.hpp"
#include "support/index_case.hpp"
#include "support/random.hpp"

namespace {

struct OneRow {
  support::IdTable table;
  std::vector<std::int32_t> lens;
  lacuna::PageIndex index;

  OneRow(reference::Units const& pages, std::int64_t len, std::int64_t page_tokens)
      : table({pages}), lens{static_cast<std::int32_t>(len)} {
    index.pages = table.ids();
    index.counts = table.counts();
    index.lens = lacuna::dense_view<std::int32_t, 1>(lens.data(), {1});
    index.page_tokens = page_tokens;
  }
};

TEST_CASE("page index: tokens read by one step of budget 128", "[index]") {
  for (auto const& [len, read_tokens] : reference::effective_lengths()) {
    CAPTURE(len);
    reference::UnitScores const scores(static_cast<std::size_t>(reference::current_page(len, 16)), 1.0);
    OneRow row(reference::quest_pages(scores, 8), len, 16);
    CHECK(row.index.kept_tokens(0) == read_tokens);
    CHECK(row.index.check({1, len, 1, 1, 8}));
  }
}

TEST_CASE("page index: kept tokens are the keys that the oracle counts", "[index]") {
  support::Random random(12);
  for (int round = 0; round < 200; ++round) {
    std::int64_t const page_tokens = 1 + random.below(20), len = 1 + random.below(200);
    std::int64_t const current = reference::current_page(len, page_tokens);
    reference::Units pages = random.subset(current, 0.4);
    pages.push_back(current);
    CAPTURE(page_tokens, len);
    OneRow row(pages, len, page_tokens);
    REQUIRE(row.index.kept_tokens(0) ==
            static_cast<std::int64_t>(reference::page_keys(pages, page_tokens, len).size()));
  }
  CHECK(OneRow({}, 0, 16).index.kept_tokens(0) == 0);
}

TEST_CASE("page index: check finds what attention must not meet", "[index]") {
  auto complaint = [](reference::Units const& pages, auto const& spoil) {
    OneRow row(pages, 10, 4);
    spoil(row.index);
    return std::string(row.index.check({1, 10, 1, 1, 8}).message);
  };
  auto const nothing = [](lacuna::PageIndex&) {};
  CHECK(complaint({0, 2}, nothing).empty());
  std::string const order = "page_index: pages must be ascending, unique and below the length";
  CHECK(complaint({2, 1}, nothing) == order);
  CHECK(complaint({2, 2}, nothing) == order);
  CHECK(complaint({0, 3}, nothing) == order);
  CHECK(complaint({-1, 2}, nothing) == order);
  CHECK(complaint({0, 1}, nothing) == "page_index: the current page must be kept");
  CHECK(complaint({}, nothing) == "page_index: the current page must be kept");
  CHECK(complaint({2}, [](auto& i) { i.page_tokens = 0; }) == "page_index: page_tokens must be at least 1");
  CHECK(complaint({2}, [](auto& i) { i.counts.extents[0] = 3; }) ==
        "page_index: must have one row per KV head or per query head");
  CHECK(complaint({2}, [](auto& i) { i.lens.extents[0] = 3; }) ==
        "page_index: pages, counts and lens must have the same rows");
  CHECK(complaint({2}, [](auto& i) { i.lens(0) = 11; }) == "page_index: a row's length is beyond len_k");
  CHECK(complaint({2}, [](auto& i) { i.counts(0) = 99; }) == "page_index: a count is beyond the capacity");
}

}  // namespace
