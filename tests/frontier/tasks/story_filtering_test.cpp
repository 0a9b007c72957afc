#include "frontier/tasks/story_filtering.hpp"

#include <regex>

#include "frontier/tasks/narrative.hpp"
#include "frontier/tasks/story_text.hpp"
#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"

namespace test {

std::vector<std::string> acquired_items(std::string const& story) {
  static std::regex const kPurchase(
      "(?:decided to acquire|purchased|able to secure|obtained|changed hands and|claimed ownership of|Arden bought|"
      "take possession of|offered) the ([a-z]+ [a-z]+ [a-z]+)[ ,.]");
  std::vector<std::string> items;
  for (std::size_t begin = story.find("Chapter "); begin != std::string::npos;) {
    std::size_t const end = story.find("\n\nChapter ", begin);
    std::string const chapter = story.substr(begin, end - begin);
    std::smatch match;
    items.push_back(std::regex_search(chapter, match, kPurchase) ? match[1].str() : "");
    begin = end == std::string::npos ? end : end + 2;
  }
  return items;
}

}  // namespace test

using namespace frontier;

namespace {

StoryFiltering const task;

std::string idle_chapters(std::string const& context) {
  std::vector<std::string> const items = test::acquired_items(context);
  std::string numbers;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].empty()) numbers += (numbers.empty() ? "" : ", ") + std::to_string(i + 1);
  }
  return numbers;
}

}  // namespace

TEST_CASE("story_filtering: exactly the gold chapters tell of no purchase") {
  for (std::int64_t length : {1024, 2048, 4096, 8192, 16384}) {
    for (std::int64_t index = 0; index < 5; ++index) {
      Sample const sample = task.generate(test::request(length, index));
      CHECK(idle_chapters(test::context_of(sample.prompt)) == sample.gold);
      auto const commas = static_cast<std::int64_t>(test::occurrences(sample.gold, ","));
      CHECK(commas + 1 == StoryFiltering::shape_at(length).chapters);
    }
  }
}

TEST_CASE("narrative: every purchase is found in the text, and its sentence can be left out") {
  Random random(43, "purchases", 0);
  auto const count = test::request(4000).count;
  Narrative story(random, Narrative::Form::compact, 4000, count);
  std::vector<std::string> const items = test::acquired_items(story.text());
  REQUIRE(items.size() == story.chapters().size());
  for (std::size_t i = 0; i < items.size(); ++i) CHECK(items[i] == story.chapters()[i].item);

  std::string const purchase = story.chapters()[4].purchase;
  std::string const item = story.chapters()[4].item;
  std::int64_t const before = count(story.text());
  story.leave_out_purchases({5}, count);
  CHECK(test::acquired_items(story.text())[4].empty());
  CHECK(story.text().find(purchase) == std::string::npos);
  CHECK(story.chapters()[4].item.empty());
  CHECK(count(story.text()) <= before);
  CHECK(count(story.text()) > before - 12);  // atmosphere took the room
  CHECK(purchase.find(item) != std::string::npos);
}

TEST_CASE("story_filtering: numbers after the word chapter, or all numbers") {
  Sample sample;
  sample.gold = "3, 7, 12";
  auto const strict = [&](std::string const& text) { return task.score(sample, response(text)).strict; };
  auto const compat = [&](std::string const& text) { return task.score(sample, response(text)).compat; };
  for (std::string const text : {"3, 7, 12", "12 7 3", "Chapter 3, chapter 7 and CHAPTER  12", "03, 7, 12"}) {
    CHECK(strict(text) == 1.0);
    CHECK(compat(text) == 1.0);
  }
  CHECK(strict("3, 7") == Approx(2.0 / 3.0));
  CHECK(strict("3, 7, 12, 13") == 0.75);
  CHECK(strict("three") == 0.0);
}

TEST_CASE("story_filtering: compat glues digits over words, strict does not") {
  Sample sample;
  sample.gold = "1, 2";
  Score const score = task.score(sample, response("1and2"));
  CHECK(score.compat == 0.0);  // reads 12
  CHECK(score.strict == 1.0);
}

TEST_CASE("story_filtering: compat drops an empty output, and scores 0 without an answer block") {
  Sample sample;
  sample.gold = "1, 2";
  CHECK(task.score(sample, "").compat_dropped);
  Score const untagged = task.score(sample, "1, 2");
  CHECK_FALSE(untagged.compat_dropped);
  CHECK(untagged.compat == 0.0);
  CHECK(untagged.strict == 0.0);
}
