#include "frontier/tasks/cwe.hpp"

#include <map>
#include <set>

#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace {

CommonWords const task;

std::map<std::string, std::int64_t> counts_of(std::string const& context) {
  std::map<std::string, std::int64_t> counts;
  for (std::string const& word : test::lines_of(context)) ++counts[word];
  return counts;
}

std::set<std::string> words_of(std::string const& gold) {
  std::set<std::string> words;
  for (std::string const& line : test::lines_of(gold)) words.insert(line.substr(line.find(' ') + 1));
  return words;
}

}  // namespace

TEST_CASE("cwe: common and rare words appear exactly as often as the question says") {
  for (std::int64_t length : {1024, 2048, 4096, 8192, 16384}) {
    INFO(length);
    CommonWords::Shape const shape = CommonWords::shape_at(length);
    CHECK(shape.common_times == 10 * shape.rare_times);
    Sample const sample = task.generate(test::request(length, 2));
    std::set<std::string> const gold = words_of(sample.gold);
    CHECK(gold.size() == static_cast<std::size_t>(shape.common));
    CHECK(sample.prompt.find("appears " + std::to_string(shape.common_times) + " times") != std::string::npos);
    std::size_t rare = 0;
    for (auto const& [word, count] : counts_of(test::context_of(sample.prompt))) {
      CHECK(count == (gold.count(word) != 0 ? shape.common_times : shape.rare_times));
      rare += gold.count(word) == 0;
    }
    CHECK(rare > (length < 2048 ? 350U : 800U));
    CHECK(sample.prompt_tokens > length - 2 * shape.rare_times);
  }
}

TEST_CASE("cwe: the columns of the scaled-down suite") {
  CHECK(CommonWords::shape_at(2048).common == 5);
  for (auto const& [length, rare] : std::map<std::int64_t, std::int64_t>{{2048, 1}, {4096, 2}, {8192, 4}, {16384, 8}}) {
    CHECK(CommonWords::shape_at(length).rare_times == rare);
  }
}

TEST_CASE("cwe: a longer list of the same shape keeps the common words") {
  Random first(43, "cwe", 1);
  Random second(43, "cwe", 1);
  auto const count = test::request(2048).count;
  CHECK(CommonWords::draft(first, {}, 3000, count).questions[0].gold ==
        CommonWords::draft(second, {}, 4000, count).questions[0].gold);
}

TEST_CASE("cwe: one common word is asked for in the singular") {
  Random random(1, "one", 0);
  Draft const draft = CommonWords::draft(random, {.common = 1}, 1000, test::request(1000).count);
  CHECK(draft.questions[0].text.find("Which is the 1 common word?") == 0);
  CHECK(test::lines_of(draft.questions[0].gold).size() == 1);
}

TEST_CASE("cwe: numbered lines in any order, case and repetition, others are ignored") {
  Sample sample;
  sample.gold = "1. apple\n2. bear\n3. cake\n4. dawn";
  auto const strict = [&](std::string const& text) { return task.score(sample, response(text)).strict; };
  CHECK(strict("4. Apple\n3) BEAR\n2- cake\n1 dawn") == 1.0);
  CHECK(strict("1. apple\n2. bear\n3. cake\n4. dawn\n5. dawn") == 1.0);
  CHECK(strict("The words are:\n1. apple\n2. bear\n3. cake\n4. dawn\n") == 1.0);
  CHECK(strict("1. apple\n2. bear\n3. cake\n4. dawn\n5. echo") == 0.8);
  CHECK(strict("apple\nbear\ncake\ndawn") == 0.0);
  CHECK(strict("1. apple, bear, cake, dawn") == 0.0);
}

TEST_CASE("cwe: no answer block scores 0 in both modes") {
  Sample sample;
  sample.gold = "1. apple";
  Score const score = task.score(sample, "1. apple");
  CHECK(score.strict == 0.0);
  CHECK(score.compat == 0.0);
  CHECK_FALSE(score.compat_dropped);
}
