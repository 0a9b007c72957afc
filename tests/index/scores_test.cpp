#include "lacuna/index/scores.hpp"

#include <numeric>
#include <vector>

#include "support/catch.hpp"

namespace {

TEST_CASE("scores: the same row of every head", "[index]") {
  std::vector<float> memory(24);
  std::iota(memory.begin(), memory.end(), 0.0F);
  lacuna::Scores const scores = lacuna::dense_view<float, 3>(memory.data(), {3, 2, 4});
  auto const row = lacuna::row_of_heads(scores, 1);
  CHECK(row.extent(0) == 3);
  CHECK(row.extent(1) == 4);
  for (int head = 0; head < 3; ++head)
    for (int unit = 0; unit < 4; ++unit) CHECK(row(head, unit) == scores(head, 1, unit));
}

}  // namespace
