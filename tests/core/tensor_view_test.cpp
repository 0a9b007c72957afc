#include "lacuna/core/tensor_view.hpp"

#include <numeric>
#include <vector>

#include "support/catch.hpp"

namespace {

using lacuna::dense_view;
using lacuna::TensorView;

TEST_CASE("tensor view: a dense one walks memory in order", "[core]") {
  std::vector<int> memory(24);
  std::iota(memory.begin(), memory.end(), 0);
  auto const view = dense_view<int, 3>(memory.data(), {2, 3, 4});
  CHECK(view.count() == 24);
  CHECK(view.stride(0) == 12);
  CHECK(view.stride(2) == 1);
  int expected = 0;
  for (int a = 0; a < 2; ++a)
    for (int b = 0; b < 3; ++b)
      for (int c = 0; c < 4; ++c) CHECK(view(a, b, c) == expected++);
}

TEST_CASE("tensor view: strides transpose without moving anything", "[core]") {
  std::vector<int> memory{0, 1, 2, 3, 4, 5};
  TensorView<int, 2> const columns{memory.data(), {3, 2}, {1, 3}};
  CHECK(columns(2, 1) == 5);
  CHECK(columns(1, 0) == 1);
  columns(0, 1) = 9;
  CHECK(memory[3] == 9);
}

TEST_CASE("tensor view: offsets past 32 bits do not wrap", "[core]") {
  TensorView<char, 2> const view{nullptr, {1LL << 20, 1LL << 20}, {1LL << 20, 1}};
  CHECK(view.count() == 1LL << 40);
  TensorView<char const, 2> const same = view;
  CHECK(same.stride(0) == 1LL << 20);
}

TEST_CASE("tensor view: an empty one has no elements", "[core]") {
  CHECK(TensorView<float, 2>{}.count() == 0);
  CHECK(dense_view<float, 3>(nullptr, {0, 4, 8}).count() == 0);
}

}  // namespace
