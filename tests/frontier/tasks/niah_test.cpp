#include "frontier/tasks/niah.hpp"

#include <algorithm>
#include <regex>
#include <set>

#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace {

std::regex const kSentence("The value for ([a-z0-9]+) is: ([a-z0-9]+)\\.");

std::vector<std::pair<std::string, std::string>> pairs_of(std::string const& context) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (std::sregex_iterator it(context.begin(), context.end(), kSentence), end; it != end; ++it) {
    pairs.emplace_back((*it)[1].str(), (*it)[2].str());
  }
  return pairs;
}

Niah const task;

}  // namespace

TEST_CASE("niah: keys and values are unique and every queried key occurs once in the context") {
  for (std::int64_t length : {2048, 4096}) {
    Sample const sample = task.generate(test::request(length, 7));
    std::string const context = test::context_of(sample.prompt);
    auto const pairs = pairs_of(context);
    std::set<std::string> keys;
    std::set<std::string> values;
    for (auto const& [key, value] : pairs) {
      CHECK(keys.insert(key).second);
      CHECK(values.insert(value).second);
      CHECK(key.size() == (length == 2048 ? 6U : 8U));
    }
    CHECK(pairs.size() > static_cast<std::size_t>(length / 18));
    std::vector<std::string> const gold = test::lines_of(sample.gold);
    CHECK(gold.size() == (length == 2048 ? 2U : 4U));
    for (std::string const& line : gold) {
      std::smatch match;
      REQUIRE(std::regex_match(line, match, std::regex("\\d\\. The answer for (\\w+) is (\\w+)\\.")));
      CHECK(test::occurrences(context, "for " + match[1].str() + " is: " + match[2].str() + ".") == 1);
      CHECK(test::occurrences(context, "for " + match[1].str() + " ") == 1);
    }
  }
}

TEST_CASE("niah: a longer context keeps the needles of the same sample") {
  Sample const four = task.generate(test::request(4096, 3));
  Sample const eight = task.generate(test::request(8192, 3));
  CHECK(four.gold == eight.gold);
  for (std::string const& line : test::lines_of(four.gold)) {
    std::smatch match;
    REQUIRE(std::regex_match(line, match, std::regex("\\d\\. The answer for (\\w+) is (\\w+)\\.")));
    for (Sample const* sample : {&four, &eight})
      CHECK(test::occurrences(test::context_of(sample->prompt), "for " + match[1].str() + " is: " + match[2].str()) ==
            1);
  }
}

TEST_CASE("niah: lines are matched by index, key and value") {
  Sample sample;
  sample.gold = "1. The answer for a1b2 is c3d4.\n2. The answer for e5f6 is g7h8.";
  auto const strict = [&](std::string const& text) { return task.score(sample, response(text)).strict; };
  CHECK(strict(sample.gold) == 1.0);
  CHECK(strict("1. The answer for a1b2 is: c3d4.\n2. the ANSWER for e5f6 is   g7h8") == 1.0);
  CHECK(strict("1. The answer for a1b2 is C3D4.\n2. The answer for E5F6 is g7h8.") == 0.5);  // keys are case-sensitive
  CHECK(strict("2. The answer for e5f6 is g7h8.\n1. The answer for a1b2 is c3d4.") == 1.0);
  CHECK(strict("1. The answer for e5f6 is g7h8.\n2. The answer for a1b2 is c3d4.") == 0.0);
  CHECK(strict("1. The answer for a1b2 is xxxx.\n1. The answer for a1b2 is c3d4.") ==
        0.0);  // the first of an index counts
  CHECK(strict("1. The answer for a1b2 is c3d4 or so.") == 0.0);
  CHECK(strict("99999999999. The answer for a1b2 is c3d4.") == 0.0);
  CHECK(task.score(sample, sample.gold).compat == 1.0);
  CHECK(task.score(sample, sample.gold).strict == 0.0);
}

TEST_CASE("niah: keys can be words, each of them once, and everything else stays") {
  Task const* const with_words = find_task("niah_words");
  REQUIRE(with_words != nullptr);
  CHECK(std::none_of(all_tasks().begin(), all_tasks().end(), [&](Task const* one) { return one == with_words; }));
  Sample const sample = with_words->generate(test::request(2048, 7));
  std::string const context = test::context_of(sample.prompt);
  std::regex const sentence("The value for ([a-z]+) is: (([a-z][0-9])+)\\.");
  std::set<std::string> keys;
  for (std::sregex_iterator it(context.begin(), context.end(), sentence), end; it != end; ++it)
    CHECK(keys.insert((*it)[1].str()).second);
  CHECK(keys.size() > 120);
  CHECK(with_words->score(sample, response(sample.gold)).strict == 1.0);
  CHECK_THROWS_AS(with_words->generate(test::request(32768, 7)), std::invalid_argument);
}
