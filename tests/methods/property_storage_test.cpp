#include <array>
#include <cstdint>
#include <string>

#include "lacuna/lacuna.hpp"
#include "support/any_method.hpp"
#include "support/catch.hpp"
#include "support/property.hpp"

// What models have: every storage type, head sizes from 32 to 256, groups of 1 to 8 and 16, in pages of up to 256
// tokens.

namespace {

using support::Data;

/// Case by case another head size and another group, so that nine cases see all of either and 45 every pair.
template <class T, class M>
std::string one_case(std::uint64_t seed) {
  constexpr std::array<std::int64_t, 5> kDims{32, 64, 96, 128, 256};
  constexpr std::array<Data, 4> kData{Data::random, Data::ties, Data::nan_key, Data::one_hot};
  support::Random random(seed);
  Data const data = kData[static_cast<std::size_t>(random.below(4))];
  std::int64_t const group = support::kGroups[static_cast<std::size_t>(seed % 9)], dim = kDims[seed % 5];
  auto const in = support::random_inputs<T>(random, M::moment == lacuna::Moment::each_step, data, group, dim, 60);
  M method;
  support::vary_method(method, random, in.heads_kv);
  return support::holds<T>(method, in, support::any_layout(random), data);
}

template <class T>
void every_size_and_group() {
  support::each_method(support::AnyMethods{}, support::property_cases(9),
                       []<class M>(std::uint64_t seed) { return one_case<T, M>(seed); });
}

TEST_CASE("property: the head sizes and groups of models in float, every method", "[properties]") {
  every_size_and_group<float>();
}

TEST_CASE("property: the head sizes and groups of models in bfloat16, every method", "[properties]") {
  every_size_and_group<lacuna::bfloat16>();
}

TEST_CASE("property: the head sizes and groups of models in half, every method", "[properties]") {
  every_size_and_group<lacuna::half>();
}

}  // namespace
