#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"

// A method that has a name has what every named method has.

namespace {

std::string text_of(std::filesystem::path const& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::filesystem::path const kRoot = LACUNA_SOURCE_DIR;

/// Names of the methods; those of templates end in Of, and are not what this asks about.
std::vector<std::string> aliases() {
  std::vector<std::string> names;
  std::regex const alias("\nusing (\\w+) =");
  for (auto const& header : std::filesystem::directory_iterator(kRoot / "include/lacuna/methods")) {
    std::string const text = text_of(header.path());
    for (std::sregex_iterator match(text.begin(), text.end(), alias), end; match != end; ++match)
      if (std::string const name = (*match)[1]; !name.ends_with("Of")) names.push_back(name);
  }
  return names;
}

/// As a word, or as the template that the alias is one of.
bool mentions(std::string const& text, std::string const& name) {
  return std::regex_search(text, std::regex("\\b" + name + "(Of)?\\b"));
}

TEST_CASE("every alias: has its memory checked, its properties, a row in the bench, a line in the docs", "[methods]") {
  auto const names = aliases();
  CHECK(names.size() >= 30);
  std::string const properties =
      text_of(kRoot / "tests/support/any_method.hpp") + text_of(kRoot / "tests/methods/property_eviction_test.cpp");
  for (std::string const& name : names) {
    CAPTURE(name);
    CHECK(mentions(text_of(kRoot / "tests/methods/planned_memory_test.cpp"), name));
    CHECK(mentions(text_of(kRoot / "bench/methods/methods_bench.cpp"), name));
    CHECK(mentions(text_of(kRoot / "docs/methods.md"), name));
    bool const keeps_by_position = name == "StreamingDecode" || name == "DuoAttention" || name == "SnapThenQuest";
    CHECK((mentions(properties, name) || keeps_by_position));  // whose tests are of their stores
  }
}

}  // namespace
