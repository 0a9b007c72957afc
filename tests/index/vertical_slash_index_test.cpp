#include "lacuna/index/vertical_slash_index.hpp"

#include <string>

#include "reference/golden.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/vertical_slash_case.hpp"

namespace {

using reference::VerticalSlashRow;

VerticalSlashRow library_row(lacuna::VerticalSlashIndex const& index, std::int64_t head, std::int64_t block) {
  VerticalSlashRow row;
  lacuna::row_block_runs(
      index, head, block,
      [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t start = begin; start < end; start += index.tile) row.tiles.push_back(start);
      },
      [&](std::int64_t key) { row.columns.push_back(key); });
  return row;
}

TEST_CASE("vertical-slash index: the three golden conversions", "[index]") {
  for (auto const& golden : reference::conversion_goldens()) {
    support::VerticalSlashCase by_hand({golden.vertical}, {golden.slash}, golden.len, 64);
    for (std::size_t m = 0; m < golden.rows.size(); ++m) {
      CAPTURE(golden.len, m);
      VerticalSlashRow const row = library_row(by_hand.index(), 0, static_cast<std::int64_t>(m));
      CHECK(row.tiles == golden.rows[m].tiles);
      CHECK(row.columns == golden.rows[m].columns);
    }
  }
}

TEST_CASE("vertical-slash index: conversion equals the oracle's on random choices", "[index]") {
  support::Random random(11);
  for (int round = 0; round < 300; ++round) {
    std::int64_t const tile = std::vector<std::int64_t>{8, 16, 64}[static_cast<std::size_t>(random.below(3))];
    std::int64_t const len = 1 + random.below(6 * tile);
    reference::Units const first = random.subset(len, 0.1), second = random.subset(len, 0.5);
    reference::Units const near = support::random_slash(random, len), far = support::random_slash(random, len);
    support::VerticalSlashCase by_hand({first, second}, {near, far}, len, tile);
    for (std::int64_t m = 0; m * tile < len; ++m) {
      CAPTURE(round, tile, len, m);
      REQUIRE(library_row(by_hand.index(), 0, m) == reference::convert_row(first, near, m, tile));
      REQUIRE(library_row(by_hand.index(), 1, m) == reference::convert_row(second, far, m, tile));
    }
  }
}

TEST_CASE("vertical-slash index: check finds what attention must not meet", "[index]") {
  lacuna::Shape const shape{10, 10, 1, 1, 8};
  auto complaint = [&](reference::Units const& vertical, reference::Units const& slash, auto const& spoil) {
    support::VerticalSlashCase by_hand({vertical}, {slash}, 10, 8);
    spoil(by_hand.index());
    return std::string(by_hand.index().check(shape).message);
  };
  auto const nothing = [](lacuna::VerticalSlashIndex&) {};
  CHECK(complaint({0, 3}, {0, 9}, nothing).empty());
  std::string const columns = "vertical_slash_index: columns must be ascending, unique and below len_k";
  CHECK(complaint({3, 0}, {0}, nothing) == columns);
  CHECK(complaint({3, 3}, {0}, nothing) == columns);
  CHECK(complaint({10}, {0}, nothing) == columns);
  CHECK(complaint({-1}, {0}, nothing) == columns);
  std::string const diagonals = "vertical_slash_index: diagonals must be ascending, unique and below len_k";
  CHECK(complaint({}, {1, 0}, nothing) == diagonals);
  CHECK(complaint({}, {0, 10}, nothing) == diagonals);
  CHECK(complaint({}, {0}, [](auto& i) { i.tile = 0; }) == "vertical_slash_index: tile must be at least 1");
  CHECK(complaint({}, {0}, [](auto& i) { i.len_q = 9; }) == "vertical_slash_index: len_q is not the problem's");
  CHECK(complaint({}, {0}, [](auto& i) { i.len_k = 9; }) == "vertical_slash_index: len_k is not the problem's");
  CHECK(complaint({}, {0}, [](auto& i) { i.counts(0, 0) = 99; }) ==
        "vertical_slash_index: a column count is beyond the capacity");
  CHECK(complaint({}, {0}, [](auto& i) { i.counts(0, 1) = -1; }) ==
        "vertical_slash_index: a diagonal count is beyond the capacity");
  CHECK(complaint({}, {0}, [](auto& i) { i.counts.extents[0] = 2; }) ==
        "vertical_slash_index: must have one row per query head or per KV head");
}

}  // namespace
