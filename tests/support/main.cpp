#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#endif
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "lacuna/kernels/cpu/target.hpp"
#include "support/catch.hpp"

/// LACUNA_TARGET=avx2 and the like: the tests run on that instruction set, or end with 77 where the machine lacks it.
int main(int argument_count, char** arguments) {
  if (char const* const wanted = std::getenv("LACUNA_TARGET")) {
    for (lacuna::cpu::Target const target : lacuna::cpu::kTargets)
      if (std::string_view(wanted) == lacuna::cpu::name_of(target)) {
        if (!lacuna::cpu::has_target(target)) return 77;
        lacuna::cpu::use_target(target);
      }
    if (std::string_view(wanted) != lacuna::cpu::name_of(lacuna::cpu::target())) {
      std::cerr << "LACUNA_TARGET: no instruction set is called " << wanted << '\n';
      return 1;
    }
  }
  return Catch::Session().run(argument_count, arguments);
}
