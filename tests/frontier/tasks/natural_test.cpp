#include "frontier/tasks/natural_tasks.hpp"

#include <algorithm>
#include <fstream>
#include <set>
#include <stdexcept>

#include "frontier/random_model.hpp"
#include "frontier/tasks/cwe.hpp"
#include "frontier/tasks/natural_support.hpp"
#include "frontier/words.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace test {

std::vector<std::string> word_pool() {
  std::vector<std::string> pool;
  for (int i = 0; i < 9000; ++i) {
    std::string word;
    for (int rest = i, k = 0; k < 3; ++k, rest /= 21) {
      word += "bcdfghjklmnpqrstvwxyz"[rest % 21];
      word += "aeiou"[(rest + k) % 5];
    }
    pool.push_back(word);
  }
  return pool;
}

Corpus corpus(QuestionAnswering::Kind kind) {
  using Kind = QuestionAnswering::Kind;
  Corpus corpus{QuestionAnswering(kind).name().substr(3), kind != Kind::squad, {}, {}};
  Random random(1, corpus.name, 0);
  std::int64_t const documents = 500;
  for (std::int64_t d = 0; d < documents; ++d) {
    std::string text = "Text " + std::to_string(1000 + d) + ".";
    for (std::int64_t i = random.between(60, 300); i > 0; --i) text += " " + random.choice(words::common_pool());
    corpus.contexts.push_back(text);
    for (int q = 0; q < 2; ++q) {
      std::string const about =
          "What does text " + std::to_string(1000 + d) + " say of " + random.choice(words::entities()) + "?";
      CorpusQuestion question{static_cast<std::size_t>(d), about, {}, q == 1};
      if (kind == Kind::squad) {
        question.answers = {"the " + random.choice(words::relations()), random.choice(words::locations())};
      } else {
        question.text += "\nA. one\nB. two\nC. three\nD. four";
        question.answers = {kind == Kind::toefl && q == 1 ? "AD" : "C"};
      }
      corpus.questions.push_back(std::move(question));
    }
  }
  return corpus;
}

std::vector<std::unique_ptr<Task const>> const& natural_tasks() {
  using Kind = QuestionAnswering::Kind;
  static auto const tasks = [] {
    std::vector<std::unique_ptr<Task const>> made;
    for (Task const* task : all_tasks()) {
      std::string const name = task->name();
      if (name == "cwe") {
        made.push_back(std::make_unique<CommonWords>(word_pool()));
      } else if (name.starts_with("qa_")) {
        Kind const kind = name == "qa_squad" ? Kind::squad : name == "qa_quality" ? Kind::quality : Kind::toefl;
        made.push_back(std::make_unique<CorpusQuestionAnswering>(kind, corpus(kind)));
      } else {
        made.push_back(natural_task(name, {}));
      }
    }
    return made;
  }();
  return tasks;
}

}  // namespace test

TEST_CASE("natural: nine tasks of the same names and kinds") {
  REQUIRE(test::natural_tasks().size() == 9);
  for (auto const& task : test::natural_tasks()) {
    CHECK(task->form() == Form::natural);
    CHECK(find_task(task->name())->form() == Form::compact);
    // The published windows: 512 for these two, 256 for all others.
    CHECK(task->long_tail() == (task->name() == "niah" || task->name() == "story_retrieval"));
  }
}

TEST_CASE("natural: the same request gives the same bytes, another index or seed others") {
  for (auto const& task : test::natural_tasks()) {
    INFO(task->name());
    Sample const sample = task->generate(test::natural_request(8192, 5));
    CHECK(sample.prompt == task->generate(test::natural_request(8192, 5)).prompt);
    CHECK(sample.prompt != task->generate(test::natural_request(8192, 6)).prompt);
    CHECK(sample.prompt != task->generate(test::natural_request(8192, 5, 44)).prompt);
    CHECK(sample.index == 5);
  }
}

TEST_CASE("natural: prompts fill 95 to 100 percent, whatever the tokenizer") {
  CountTokens const characters = [](std::string_view text) { return static_cast<std::int64_t>(text.size()); };
  CountTokens const words = [](std::string_view text) {
    bool inside = false;
    std::int64_t found = 0;
    for (char c : text) {
      bool const space = c == ' ' || c == '\n';
      found += !space && !inside;
      inside = !space;
    }
    return found;
  };
  struct Case {
    CountTokens count;
    std::vector<std::int64_t> lengths;
  };
  for (Case const& one :
       {Case{estimate_tokens, {8192, 16384, 32768}}, Case{characters, {65536}}, Case{words, {8192}}}) {
    for (auto const& task : test::natural_tasks()) {
      if (one.lengths.size() == 1 && task->name().starts_with("qa_")) continue;  // these measure once, by one tokenizer
      for (std::int64_t length : one.lengths) {
        INFO(task->name() << " at " << length);
        Sample const sample = task->generate({43, 3, length, one.count});
        CHECK(one.count(sample.prompt) <= length - 64);
        CHECK(static_cast<double>(sample.prompt_tokens) >= 0.95 * static_cast<double>(length));
        CHECK(sample.tail_tokens < sample.prompt_tokens);
      }
    }
  }
}

TEST_CASE("natural: the gold answer in the response's form scores 1 in both modes") {
  for (auto const& task : test::natural_tasks()) {
    for (std::int64_t index = 0; index < 5; ++index) {
      INFO(task->name());
      Sample const sample = task->generate(test::natural_request(8192, index));
      Score const score = task->score(sample, test::perfect(sample.gold));
      CHECK(score.strict == 1.0);
      CHECK(score.compat == 1.0);
      CHECK_FALSE(score.unparsed);
      CHECK_FALSE(score.compat_dropped);
      CHECK(task->score(sample, "").strict == 0.0);
      CHECK(task->score(sample, "").unparsed);
      CHECK(task->score(sample, "<explanation>\nit is so\n</explanation>\n<answer>\n" + sample.gold).strict == 0.0);
      CHECK(task->score(sample, test::perfect("")).strict == 0.0);
      // A model that mentions the tag while it thinks is read at its end in strict mode alone.
      Score const twice = task->score(sample, test::perfect("nothing") + test::perfect(sample.gold));
      CHECK(twice.strict == 1.0);
      CHECK(twice.compat == 0.0);
    }
  }
}

TEST_CASE("natural: the parts of the prompt stand in the order of the skeleton") {
  for (auto const& task : test::natural_tasks()) {
    INFO(task->name());
    Sample const sample = task->generate(test::natural_request(8192, 1));
    bool const several = task->name() == "niah" || task->name() == "story_retrieval";
    std::string const tag = several ? "questions" : "question";
    CHECK(test::inside(sample.prompt, tag) == test::inside(sample.prompt, tag + "_repeated"));
    std::size_t at = 0;
    for (std::string const& part :
         {std::string("stated twice"), "<" + tag + ">", std::string("<context>"), std::string("</context>"),
          "<" + tag + "_repeated>", std::string("1. First explain"), std::string("2. Then give"),
          std::string("<answer>"), std::string("<explanation>"), std::string("<answer>"), std::string("Important:"),
          std::string("- Be clear and brief"), std::string("- Write nothing but")}) {
      at = sample.prompt.find(part, at);
      CAPTURE(part);
      REQUIRE(at != std::string::npos);
    }
    CHECK(sample.prompt.find("<bos>") == std::string::npos);
  }
}

TEST_CASE("natural: what follows the context is about as long as published") {
  struct Tail {
    char const* task;
    double tokens;  // mean over 100 samples, of the study's prompts and the Qwen tokenizer
  };
  for (Tail const& tail :
       {Tail{"qa_squad", 217.08}, Tail{"cwe", 227}, Tail{"niah", 337.74}, Tail{"vt", 230}, Tail{"story_filtering", 184},
        Tail{"story_multihop", 192.97}, Tail{"story_retrieval", 457.54}}) {
    for (auto const& task : test::natural_tasks()) {
      if (task->name() != tail.task) continue;
      double sum = 0;
      for (std::int64_t index = 0; index < 10; ++index) {
        sum += static_cast<double>(task->generate(test::natural_request(16384, index)).tail_tokens);
      }
      INFO(tail.task << " " << sum / 10);
      CHECK(std::abs(sum / 10 / tail.tokens - 1.0) < 0.15);
    }
  }
}

TEST_CASE("natural: what cannot be made is one sentence") {
  for (auto const& task : test::natural_tasks()) {
    INFO(task->name());
    CHECK_THROWS_AS(task->generate(test::natural_request(200)), std::invalid_argument);
    Request short_output = test::natural_request(8192);
    short_output.max_output_tokens = 0;
    CHECK_THROWS_WITH(task->generate(short_output), test::contains("of an output"));
    Request wordy_template = test::natural_request(8192);
    wordy_template.count_turn = [](std::string_view text) { return estimate_tokens(text) + 1000; };
    CHECK_THROWS_WITH(task->generate(wordy_template), test::contains("9"));
  }
  CHECK(natural_task("nap", {}) == nullptr);
  CHECK_THROWS_WITH(natural_task("qa_squad", {}), test::contains("qa_squad"));
  CHECK_THROWS_WITH(natural_task("cwe", {.words = "/nowhere"}), test::contains("/nowhere"));
}

TEST_CASE("natural: a text that leaves no room for the chat template is refused") {
  Request request = test::natural_request(8192, 2);
  request.count = [](std::string_view text) {  // of a tokenizer that needs more for long texts
    std::int64_t const tokens = estimate_tokens(text);
    return tokens > 4000 ? tokens + tokens / 150 : tokens;
  };
  CHECK_THROWS_WITH(test::natural_tasks().front()->generate(request), test::contains("chat template"));
}

TEST_CASE("natural: the chat template counts towards the length") {
  Request request = test::natural_request(8192, 2);
  request.count_turn = [](std::string_view text) { return estimate_tokens(text) + 40; };
  auto const& niah = test::natural_tasks().front();
  Sample const plain = niah->generate(test::natural_request(8192, 2));
  Sample const wrapped = niah->generate(request);
  CHECK(wrapped.prompt == plain.prompt);
  CHECK(wrapped.prompt_tokens == plain.prompt_tokens + 40);
}

TEST_CASE("read_word_pool: plain words, spread over the list") {
  test::ScratchFolder const folder;
  auto const file = folder.path() / "words";
  std::ofstream out(file);
  for (std::string const& word : test::word_pool()) out << word << "\n" << word << "ing\n" << word << "'s\n";
  for (char letter = 'a'; letter <= 'z'; ++letter) out << "zz" << letter << "zz\nA" << letter << "zz\n";
  out.close();
  std::vector<std::string> const pool = read_word_pool(file);
  CHECK(pool.size() == 9000);
  CHECK(std::set<std::string>(pool.begin(), pool.end()).size() == 9000);
  for (std::string const& word : pool)
    REQUIRE(word.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos);
  std::ofstream(file) << "few\nwords\n";
  CHECK_THROWS_WITH(read_word_pool(file), test::contains("plain words"));
}

TEST_CASE("estimate_tokens: words, digits, punctuation, random strings") {
  CHECK(estimate_tokens("") == 0);
  CHECK(estimate_tokens("The grass is green.") == 5);
  CHECK(estimate_tokens("chapter 12") == 4);
  CHECK(estimate_tokens("</answer>\n") == 3);
  CHECK(estimate_tokens("a7kqbx") == 4);
  CHECK(estimate_tokens("VAR QWXYZ = 12345") == 1 + 3 + 1 + 1 + 5);
}
