#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "frontier/fingerprint.hpp"
#include "frontier/tasks/natural_support.hpp"
#include "frontier/tasks/natural_tasks.hpp"
#include "frontier/tasks/story_filtering.hpp"
#include "frontier/tasks/story_multihop.hpp"
#include "frontier/tasks/story_text.hpp"
#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace {

Task const& natural(std::string const& name) {
  auto const& tasks = test::natural_tasks();
  return **std::find_if(tasks.begin(), tasks.end(), [&](auto const& task) { return task->name() == name; });
}

std::vector<std::string> all_matches(std::string const& text, char const* expression) {
  std::regex const pattern(expression);
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it)
    found.push_back((*it)[1].str());
  return found;
}

std::string field(Sample const& sample, std::string const& name) {
  for (Field const& one : sample.fields) {
    if (one.name == name) return one.value;
  }
  return "";
}

template <class T>
bool distinct(std::vector<T> const& items) {
  return std::set<T>(items.begin(), items.end()).size() == items.size();
}

}  // namespace

TEST_CASE("natural niah: no key or value twice, each asked key once in the context, copied by the gold") {
  Sample const sample = natural("niah").generate(test::natural_request(16384, 4));
  std::string const context = test::context_of(sample.prompt);
  char const* const kPair = "The value for ((?:[a-z0-9]{8}-){3}[a-z0-9]{8}) is: (?:[a-z0-9]{8}-){3}[a-z0-9]{8}\\.";
  std::vector<std::string> const keys = all_matches(context, kPair);
  CHECK(distinct(keys));
  CHECK(distinct(all_matches(context, "is: (\\S+)\\.")));
  CHECK(keys.size() == all_matches(context, "(The) value").size());
  CHECK(keys.size() > 200);
  std::vector<std::string> const asked = all_matches(test::inside(sample.prompt, "questions"), "([a-z0-9-]{35})");
  REQUIRE(asked.size() == 4);
  std::vector<std::string> const lines = test::lines_of(sample.gold);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(test::occurrences(context, asked[i]) == 1);
    std::string const value = lines[i].substr(lines[i].find(" is ") + 4);
    CHECK(lines[i] == std::to_string(i + 1) + ". The answer for " + asked[i] + " is " + value);
    CHECK(context.find("The value for " + asked[i] + " is: " + value) != std::string::npos);
  }
}

TEST_CASE("natural vt: forty statements, and a resolver of its own finds exactly the gold") {
  for (std::int64_t index = 0; index < 5; ++index) {
    Sample const sample = natural("vt").generate(test::natural_request(16384, index));
    std::string const context = test::context_of(sample.prompt);
    std::regex const statement("VAR ([A-Z]{5}) = (?:VAR ([A-Z]{5})|([0-9]{5}))");
    std::map<std::string, std::string> source;
    for (std::sregex_iterator it(context.begin(), context.end(), statement), end; it != end; ++it) {
      CHECK(source.emplace((*it)[1], (*it)[2].matched ? (*it)[2] : (*it)[3]).second);
    }
    CHECK(source.size() == 40);
    std::set<std::string> resolved;
    for (auto const& [name, from] : source) {
      std::string value = from;
      while (source.count(value) > 0) value = source.at(value);
      if (value == field(sample, "target_value")) resolved.insert(name);
    }
    std::vector<std::string> const gold = all_matches(sample.gold, "([A-Z]{5})");
    CHECK(resolved == std::set<std::string>(gold.begin(), gold.end()));
    CHECK(gold.size() == 5);
    CHECK(sample.gold.size() == 29);
  }
}

TEST_CASE("natural cwe: numbered lines in which ten words stand 30 times and all others 3 times") {
  Sample const sample = natural("cwe").generate(test::natural_request(16384, 3));
  std::map<std::string, int> counts;
  std::int64_t number = 0;
  for (std::string const& line : test::lines_of(test::context_of(sample.prompt))) {
    std::string const start = std::to_string(++number) + ". ";
    REQUIRE(line.starts_with(start));
    ++counts[line.substr(start.size())];
  }
  CHECK(std::to_string(number) == field(sample, "entries"));
  std::vector<std::string> const gold = all_matches(sample.gold, "\\d+\\. ([a-z]+)");
  CHECK(gold.size() == 10);
  for (std::string const& word : gold) {
    CHECK(counts[word] == 30);
    counts.erase(word);
  }
  for (auto const& [word, times] : counts) CHECK(times == 3);
  CHECK(counts.size() > 500);
}

TEST_CASE("natural stories: items are unique, three chapters are without a purchase") {
  for (std::int64_t index = 0; index < 3; ++index) {
    Sample const sample = natural("story_filtering").generate(test::natural_request(16384, index));
    std::vector<std::string> const items = test::acquired_items(test::context_of(sample.prompt));
    std::string idle;
    std::vector<std::string> bought;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (items[i].empty()) {
        idle += (idle.empty() ? "" : ", ") + std::to_string(i + 1);
      } else {
        bought.push_back(items[i]);
      }
    }
    CHECK(idle == sample.gold);
    CHECK(test::occurrences(sample.gold, ",") == 2);
    CHECK(distinct(bought));
    CHECK(std::to_string(items.size()) == field(sample, "chapters"));
  }
}

TEST_CASE("natural story_filtering: sales of what was never acquired stay unless asked otherwise") {
  bool orphans = false;
  for (std::int64_t index = 0; index < 12; ++index) {
    Request const request = test::natural_request(16384, index);
    std::string const kept = test::context_of(StoryFiltering(Form::natural).generate(request).prompt);
    Sample const dropped = StoryFiltering(Form::natural, true).generate(request);
    std::string const text = test::context_of(dropped.prompt);
    CHECK(dropped.gold == StoryFiltering(Form::natural).generate(request).gold);
    auto const never_acquired_but_sold = [](std::string const& story) {
      std::vector<std::string> const items = test::acquired_items(story);
      std::set<std::string> const acquired(items.begin(), items.end());
      std::int64_t found = 0;
      for (char const* sale : {"also sold the ([a-z]+ [a-z]+ [a-z]+) to", "took the ([a-z]+ [a-z]+ [a-z]+) that",
                               "parted with the ([a-z]+ [a-z]+ [a-z]+),", "The ([a-z]+ [a-z]+ [a-z]+) was handed over",
                               "paid Arden well for the ([a-z]+ [a-z]+ [a-z]+) and"}) {
        for (std::string const& item : all_matches(story, sale)) found += acquired.count(item) == 0;
      }
      return found;
    };
    orphans = orphans || never_acquired_but_sold(kept) > 0;
    CHECK(never_acquired_but_sold(text) == 0);
  }
  CHECK(orphans);
}

TEST_CASE("natural story_multihop: with fewer purchases the item before can be chapters away") {
  std::int64_t far = 0;
  for (double probability : {1.0, 0.5}) {
    StoryMultihop const task(Form::natural, probability);
    for (std::int64_t index = 0; index < 8; ++index) {
      Sample const sample = task.generate(test::natural_request(8192, index));
      std::vector<std::string> const items = test::acquired_items(test::context_of(sample.prompt));
      std::string const asked = all_matches(test::inside(sample.prompt, "question"), "acquiring the (.*)\\?").at(0);
      auto at = std::find(items.begin(), items.end(), asked) - items.begin();
      REQUIRE(at < static_cast<std::ptrdiff_t>(items.size()));
      auto before = at - 1;
      while (items[static_cast<std::size_t>(before)].empty()) --before;
      CHECK(items[static_cast<std::size_t>(before)] == sample.gold);
      auto const idle = std::count(items.begin(), items.end(), "");
      CHECK((idle == 0) == (probability == 1.0));
      far += at - before > 1;
    }
  }
  CHECK(far > 0);
}

TEST_CASE("natural qa: the target document is the question's own, word by word, and the others are whole but one") {
  using Kind = QuestionAnswering::Kind;
  for (Kind kind : {Kind::squad, Kind::quality, Kind::toefl}) {
    Corpus const corpus = test::corpus(kind);
    std::string const name = QuestionAnswering(kind).name();
    for (std::int64_t index = 0; index < 5; ++index) {
      Sample const sample = natural(name).generate(test::natural_request(32768, index));
      std::string const context = "\n\n" + test::context_of(sample.prompt) + "\n\n";
      auto const document = [&](std::string const& number) {
        std::string const header = "\n\nDocument " + number + "\n";
        std::size_t const begin = context.find(header) + header.size();
        return context.substr(begin, context.find("\n\n", begin) - begin);
      };
      auto const asked = std::find_if(corpus.questions.begin(), corpus.questions.end(), [&](CorpusQuestion const& one) {
        return one.text == field(sample, "question") && one.answers.front() == sample.gold;
      });
      REQUIRE(asked != corpus.questions.end());
      CHECK(document(field(sample, "target_document")) == corpus.contexts[asked->context]);
      CHECK(test::inside(sample.prompt, "question") ==
            "This is about document " + field(sample, "target_document") + ":\n" + asked->text);
      std::int64_t cut = 0;
      std::vector<std::string> texts;
      for (std::int64_t d = 1; d <= std::stoll(field(sample, "documents")); ++d) {
        texts.push_back(document(std::to_string(d)));
        cut += std::find(corpus.contexts.begin(), corpus.contexts.end(), texts.back()) == corpus.contexts.end();
      }
      CHECK(cut <= 1);
      CHECK(distinct(texts));
      CHECK(texts.size() > 20);
    }
  }
}

TEST_CASE("natural qa: any right answer is right") {
  Sample const sample = natural("qa_squad").generate(test::natural_request(8192, 1));
  REQUIRE(sample.other_golds.size() == 1);
  CHECK(natural("qa_squad").score(sample, test::perfect(sample.other_golds.front())).strict == 1.0);
  CHECK(natural("qa_squad").score(sample, test::perfect(sample.other_golds.front())).compat == 1.0);
  CHECK(natural("qa_squad").score(sample, test::perfect("quite another")).strict == 0.0);
}

TEST_CASE("natural: longer contexts keep the needles, the chains, the words, the chapters and the question") {
  for (auto const& task : test::natural_tasks()) {
    std::string const name = task->name();
    INFO(name);
    for (std::int64_t index = 0; index < 3; ++index) {
      Sample const shorter = task->generate(test::natural_request(8192, index));
      Sample const longer = task->generate(test::natural_request(32768, index));
      if (name.starts_with("story_")) {
        // The story goes on; up to the last chapters, which the questions and the padding touch, it is the same. In
        // Filtering the chapters without a purchase are drawn among all of them.
        std::string const story = test::context_of(shorter.prompt);
        std::string const start = story.substr(0, story.rfind("\n\nChapter"));
        if (name != "story_filtering") CHECK(test::context_of(longer.prompt).starts_with(start));
        continue;
      }
      CHECK(shorter.gold == longer.gold);
      if (!name.starts_with("qa_")) {
        std::string const tag = name == "niah" ? "questions" : "question";
        CHECK(test::inside(shorter.prompt, tag) == test::inside(longer.prompt, tag));
      } else {
        CHECK(field(shorter, "question") == field(longer, "question"));
      }
    }
  }
}

TEST_CASE("golden: prompts and golds are what they were") {
  auto const print = [](auto const& tasks, auto const& request) {
    std::string prints;
    for (auto const& task : tasks) {
      Fingerprint print;
      for (std::int64_t index = 0; index < 3; ++index) {
        Sample const sample = task->generate(request(index));
        print.add(sample.prompt).add(sample.gold);
      }
      prints += task->name() + " " + print.hex() + "\n";
    }
    return prints;
  };
  // The bundled models were trained on these words and this order of draws.
  CHECK(print(all_tasks(), [](std::int64_t index) { return test::request(4096, index); }) ==
        "niah f3441d9513b1aff8\n"
        "vt e64630244c8f4cbf\n"
        "cwe c6d21baf40b6d2f8\n"
        "story_retrieval 3465dcae0bd60871\n"
        "story_multihop 52fb96e3d184f972\n"
        "story_filtering e077de648eac5d21\n"
        "qa_squad e04d47445aebe6dd\n"
        "qa_quality 1cea8becdbf53d94\n"
        "qa_toefl 50ccc8bc49d8cc66\n");
  CHECK(print(test::natural_tasks(), [](std::int64_t index) { return test::natural_request(8192, index); }) ==
        "niah 70310b2bed3c1cd9\n"
        "vt a4a60d5358ee1d9e\n"
        "cwe d528810e4dbb4d4d\n"
        "story_retrieval 80a7c3e34e9a98f1\n"
        "story_multihop 3b11ec7f7b316d87\n"
        "story_filtering a525aa7727b634fb\n"
        "qa_squad 461d7e94b3bae5b4\n"
        "qa_quality 0f0eff66252a66f9\n"
        "qa_toefl 0c3f67b666ced4cb\n");
}
