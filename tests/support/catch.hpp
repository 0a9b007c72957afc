#pragma once

// The one door to Catch2: v2 (Debian 12) and v3 (Ubuntu 24.04) keep the same things in different places.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif

#include <string>

namespace test {

/// Matches a string that contains `text`; the name differs between the two versions.
inline auto contains(std::string const& text) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(text);
#else
  return Catch::Matchers::Contains(text);
#endif
}

}  // namespace test
