#include "frontier/tasks/story_retrieval.hpp"

#include <regex>
#include <set>

#include "frontier/tasks/narrative.hpp"
#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace {

StoryRetrieval const task;

Narrative narrative(Narrative::Form form, std::int64_t tokens, std::int64_t index = 0) {
  Random random(43, "a story", index);
  return {random, form, tokens, test::request(tokens).count};
}

}  // namespace

TEST_CASE("narrative: meetings and items are unique, chapters are numbered from 1") {
  Narrative const story = narrative(Narrative::Form::compact, 8000);
  std::set<std::pair<std::string, std::string>> meetings;
  std::set<std::string> items;
  std::int64_t number = 0;
  for (Narrative::Chapter const& chapter : story.chapters()) {
    CHECK(chapter.number == ++number);
    CHECK(meetings.insert({chapter.location, chapter.character}).second);
    CHECK(items.insert(chapter.item).second);
    CHECK(chapter.text.find("Chapter " + std::to_string(number) + "\n") == 0);
    for (std::string const& fact : {chapter.location, chapter.character, chapter.item}) {
      CHECK(chapter.text.find(fact) != std::string::npos);
    }
    CHECK(chapter.text.find('{') == std::string::npos);
  }
  CHECK(number > 80);
}

TEST_CASE("narrative: a longer story begins with the chapters of the shorter one") {
  Narrative const shorter = narrative(Narrative::Form::compact, 2000);
  Narrative const longer = narrative(Narrative::Form::compact, 4000);
  REQUIRE(shorter.chapters().size() < longer.chapters().size());
  // The last chapter of each is padded with atmosphere.
  for (std::size_t i = 0; i + 1 < shorter.chapters().size(); ++i) {
    CHECK(shorter.chapters()[i].text == longer.chapters()[i].text);
  }
}

TEST_CASE("narrative: both forms tell the same facts") {
  Narrative const compact = narrative(Narrative::Form::compact, 3000);
  Narrative const full = narrative(Narrative::Form::full, 3000);
  REQUIRE(full.chapters().size() < compact.chapters().size());
  for (std::size_t i = 0; i < full.chapters().size(); ++i) {
    CHECK(full.chapters()[i].location == compact.chapters()[i].location);
    CHECK(full.chapters()[i].item == compact.chapters()[i].item);
  }
}

TEST_CASE("narrative: about half of the chapters sell an older item") {
  Narrative const story = narrative(Narrative::Form::compact, 16000);
  std::size_t sales = 0;
  for (Narrative::Chapter const& chapter : story.chapters()) {
    for (Narrative::Chapter const& other : story.chapters()) {
      if (other.number < chapter.number && chapter.text.find(other.item) != std::string::npos) ++sales;
    }
  }
  double const share = static_cast<double>(sales) / static_cast<double>(story.chapters().size());
  CHECK(share > 0.35);
  CHECK(share < 0.65);
}

TEST_CASE("story_retrieval: the gold answers stand in the asked chapters") {
  for (std::int64_t length : {2048, 4096, 8192}) {
    Sample const sample = task.generate(test::request(length, 4));
    std::string const context = test::context_of(sample.prompt);
    std::regex const ask("(\\d+)\\. In chapter (\\d+), which (location|character|item)");
    std::string const tail = sample.prompt.substr(sample.prompt.find("<questions_repeated>"));
    std::vector<std::string> const gold = test::lines_of(sample.gold);
    std::size_t asked = 0;
    std::set<std::string> chapters;
    for (std::sregex_iterator it(tail.begin(), tail.end(), ask), end; it != end; ++it, ++asked) {
      std::string const number = (*it)[2].str();
      CHECK(chapters.insert(number).second);
      std::size_t const begin = context.find("Chapter " + number + "\n");
      REQUIRE(begin != std::string::npos);
      std::string const chapter = context.substr(begin, context.find("\n\n", begin) - begin);
      std::string const answer = gold.at(asked).substr(gold.at(asked).find(' ') + 1);
      CHECK(chapter.find(answer) != std::string::npos);
    }
    CHECK(asked == gold.size());
    CHECK(asked == static_cast<std::size_t>(StoryRetrieval::shape_at(length).queries));
  }
}

TEST_CASE("story_retrieval: three questions ask once for each kind") {
  Random random(1, "three", 0);
  Draft const draft = StoryRetrieval::draft(random, {.queries = 3}, 2048, test::request(2048).count);
  for (std::string const kind : {"location", "character", "item"}) {
    CHECK(test::occurrences(draft.questions[0].text, "which " + kind) == 1);
  }
}

TEST_CASE("story_retrieval: lines are read with any of the usual marks and without an article") {
  Sample sample;
  sample.gold = "1. amber brass ring\n2. Black Harbor";
  auto const strict = [&](std::string const& text) { return task.score(sample, response(text)).strict; };
  CHECK(strict("2) The Black  Harbor\n1: an Amber brass ring") == 1.0);
  CHECK(strict("1. amber brass ring\n1. wrong\n2. Black Harbor") == 1.0);
  CHECK(strict("1. wrong\n1. amber brass ring") == 0.0);
  CHECK(strict("amber brass ring\nBlack Harbor") == 0.0);
  CHECK(strict("1. amber brass ring.\n2. Black Harbor") == 0.5);
}
