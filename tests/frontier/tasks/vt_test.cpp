#include "frontier/tasks/vt.hpp"

#include <map>
#include <regex>
#include <set>

#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace {

VariableTracking const task;

/// The names that resolve to `value`, found by following the statements of the text.
std::set<std::string> resolved(std::string const& context, std::string const& value) {
  std::map<std::string, std::string> assigned;
  std::regex const statement("VAR (\\w+) = (VAR )?(\\w+)");
  for (std::sregex_iterator it(context.begin(), context.end(), statement), end; it != end; ++it) {
    CHECK(assigned.try_emplace((*it)[1].str(), (*it)[3].str()).second);
  }
  std::set<std::string> names;
  for (auto const& [name, first] : assigned) {
    std::string at = first;
    while (assigned.count(at) != 0) at = assigned.at(at);
    if (at == value) names.insert(name);
  }
  return names;
}

/// The assignments of a sample's context, whatever stands between them.
std::set<std::string> statements_of(Sample const& sample) {
  std::string const context = test::context_of(sample.prompt);
  std::regex const statement("VAR \\w+ = (VAR )?\\w+");
  std::set<std::string> found;
  for (std::sregex_iterator it(context.begin(), context.end(), statement), end; it != end; ++it)
    found.insert(it->str());
  return found;
}

}  // namespace

TEST_CASE("vt: following the statements gives exactly the gold names") {
  for (std::int64_t length : {2048, 4096, 8192, 16384}) {
    Sample const sample = task.generate(test::request(length, 11));
    VariableTracking::Shape const shape = VariableTracking::shape_at(length);
    std::string const context = test::context_of(sample.prompt);
    CHECK(test::occurrences(context, " = ") == shape.chains * (shape.hops + 1));
    std::smatch match;
    REQUIRE(std::regex_search(sample.prompt, match, std::regex("the value (\\d{3}), directly")));
    std::vector<std::string> const gold = test::lines_of(sample.gold);
    CHECK(gold.size() == static_cast<std::size_t>(shape.hops + 1));
    CHECK(resolved(context, match[1].str()) == std::set<std::string>(gold.begin(), gold.end()));
  }
}

TEST_CASE("vt: a longer context of the same shape keeps the chains of the same sample") {
  for (auto const& [shorter_length, longer_length] : {std::pair(3072, 6000), std::pair(6200, 12000)})
    for (std::int64_t index : {0, 1, 2}) {
      Sample const shorter = task.generate(test::request(shorter_length, index));
      Sample const longer = task.generate(test::request(longer_length, index));
      CHECK(shorter.gold == longer.gold);
      CHECK(statements_of(shorter) == statements_of(longer));
      CHECK(longer.prompt_tokens > shorter.prompt_tokens);
    }
}

TEST_CASE("vt: names score by intersection over union in any order") {
  Sample sample;
  sample.gold = "a1b2\nc3d4\ne5f6";
  auto const strict = [&](std::string const& text) { return task.score(sample, response(text)).strict; };
  CHECK(strict("e5f6 a1b2 c3d4") == 1.0);
  CHECK(strict("A1B2 c3d4") == Approx(2.0 / 3.0));
  CHECK(strict("a1b2 c3d4 e5f6 zzzz") == 0.75);
  CHECK(strict("VAR a1b2 VAR c3d4 VAR e5f6") == 1.0);
  CHECK(task.score(sample, response("VAR a1b2 VAR c3d4 VAR e5f6")).compat == 1.0);
}

TEST_CASE("vt: commas cost compat all names but the last, strict none") {
  Sample sample;
  sample.gold = "a1b2\nc3d4\ne5f6";
  Score const score = task.score(sample, response("a1b2, c3d4, e5f6"));
  CHECK(score.strict == 1.0);
  CHECK(score.compat == Approx(1.0 / 5.0));
}

TEST_CASE("vt: compat merges a name that ends in the keyword with its successor") {
  Sample sample;
  sample.gold = "ABVAR\nCDEFG";
  Score const apart = task.score(sample, response("CDEFG ABVAR"));
  CHECK(apart.strict == 1.0);
  CHECK(apart.compat == 0.0);  // gold reads ABCDEFG
  CHECK(task.score(sample, response("ABVAR CDEFG")).compat == 1.0);
}

TEST_CASE("vt: without tags compat reads every word as a name") {
  Sample sample;
  sample.gold = "a1b2";
  CHECK(task.score(sample, "I think a1b2").compat == Approx(1.0 / 3.0));
}
