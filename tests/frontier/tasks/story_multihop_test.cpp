#include "frontier/tasks/story_multihop.hpp"

#include <regex>
#include <set>

#include "frontier/tasks/story_text.hpp"
#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace {

StoryMultihop const task;

std::string asked_item(std::string const& question) {
  std::smatch match;
  REQUIRE(std::regex_search(question, match, std::regex("acquired before the ([a-z ]+)\\?")));
  return match[1].str();
}

}  // namespace

TEST_CASE("story_multihop: the gold item was acquired in the chapter before the asked one") {
  for (std::int64_t length : {1024, 2048, 4096, 8192, 16384}) {
    for (std::int64_t index = 0; index < 3; ++index) {
      Sample const sample = task.generate(test::request(length, index));
      std::vector<std::string> const items = test::acquired_items(test::context_of(sample.prompt));
      auto const at = std::find(items.begin(), items.end(), asked_item(sample.prompt));
      REQUIRE(at != items.end());
      REQUIRE(at != items.begin());
      CHECK(*(at - 1) == sample.gold);
    }
  }
}

TEST_CASE("story_multihop: training turns ask for different items, as many as the chapters allow") {
  Random random(3, "turns", 0);
  Draft const draft =
      StoryMultihop::draft(random, {.questions = 50, .training = true}, 4096, test::request(4096).count);
  std::vector<std::string> const items = test::acquired_items(draft.context);
  CHECK(draft.questions.size() == std::min<std::size_t>(50, items.size() - 1));
  std::set<std::string> asked;
  for (Question const& question : draft.questions) {
    std::string const item = asked_item(question.text);
    CHECK(asked.insert(item).second);
    CHECK(*(std::find(items.begin(), items.end(), item) - 1) == question.gold);
  }
  CHECK(test::request(4096).count(render_conversation(draft)) <= 4096);
}

TEST_CASE("story_multihop: case, spacing and an article do not matter, anything else does") {
  Sample sample;
  sample.gold = "amber brass ring";
  auto const strict = [&](std::string const& text) { return task.score(sample, response(text)).strict; };
  CHECK(strict("The  Amber brass\nring") == 1.0);
  CHECK(strict("amber brass ring.") == 0.0);
  CHECK(strict("amber brass") == 0.0);
}

TEST_CASE("story_multihop: compat leaves empty predictions out of its mean, strict counts them as wrong") {
  Sample sample;
  sample.gold = "amber brass ring";
  for (std::string const output : {"", "amber brass ring", "<answer>amber brass ring", "<answer> \n</answer>"}) {
    Score const score = task.score(sample, output);
    CHECK(score.compat_dropped);
    CHECK(score.strict == 0.0);
    CHECK(score.compat == 0.0);
  }
  CHECK_FALSE(task.score(sample, response("wrong")).compat_dropped);
}
