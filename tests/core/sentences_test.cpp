#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "support/catch.hpp"

namespace {

namespace fs = std::filesystem;

std::string read(fs::path const& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Sentences of refusal are the string literals that begin with a lower-case name and a colon.
std::set<std::string> sentences_in(std::string const& source) {
  std::set<std::string> sentences;
  std::size_t at = 0;
  while ((at = source.find('"', at)) != std::string::npos) {
    std::size_t const end = source.find('"', at + 1);
    std::string const text = source.substr(at + 1, end - at - 1);
    std::size_t const colon = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
    if (colon != std::string::npos && colon > 0 && text.compare(colon, 2, ": ") == 0) sentences.insert(text);
    at = end + 1;
  }
  return sentences;
}

/// What no test can provoke, and so what no test may claim to.
std::set<std::string> const kUnreachable = {
    "cuda: compile with -arch=sm_80 or later, for Hopper with -arch=sm_90a",  // the tests are compiled for these
    "flash_wgmma: shared memory of an SM",                                    // a static_assert
};

TEST_CASE("status: every sentence that the library can say is expected by a test", "[core]") {
  fs::path const root = LACUNA_SOURCE_DIR;
  std::string tests;
  for (auto const& entry : fs::recursive_directory_iterator(root / "tests"))
    if (entry.path().filename().string().find("_test.c") != std::string::npos &&
        entry.path().filename() != "sentences_test.cpp")
      tests += read(entry.path());
  std::size_t count = 0;
  for (auto const& entry : fs::recursive_directory_iterator(root / "include")) {
    if (entry.path().extension() != ".hpp" && entry.path().extension() != ".cuh") continue;
    for (std::string const& sentence : sentences_in(read(entry.path()))) {
      ++count;
      CAPTURE(entry.path().filename().string(), sentence);
      CHECK((kUnreachable.count(sentence) == 1) != (tests.find(sentence) != std::string::npos));
    }
  }
  CHECK(count > 50);
}

}  // namespace
