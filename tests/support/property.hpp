#pragma once

#include <cstdint>
#include <cstdlib>

namespace support {

/// Random cases of one property: so many, or LACUNA_PROPERTY_CASES of the environment, such as a nightly run sets.
inline std::int64_t property_cases(std::int64_t usual) {
  char const* const wanted = std::getenv("LACUNA_PROPERTY_CASES");
  std::int64_t const cases = wanted == nullptr ? 0 : std::atoll(wanted);
  return cases > 0 ? cases : usual;
}

}  // namespace support
