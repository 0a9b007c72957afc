#include <array>

#include "lacuna/core/tensor_view.hpp"

int main() {
  std::array<float, 6> numbers{0, 1, 2, 3, 4, 5};
  auto const view = lacuna::dense_view<float, 2>(numbers.data(), {2, 3});
  return view(1, 2) == 5.0F ? 0 : 1;
}
