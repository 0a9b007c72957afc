#include "frontier/tasks/task.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"

namespace test {

transformer::Tokenizer const& closed_tokenizer() {
  static transformer::Tokenizer const tokenizer = [] {
    auto const path =
        std::filesystem::temp_directory_path() / ("lacuna-vocabulary-" + std::to_string(::getpid()) + ".json");
    std::ofstream(path) << frontier::tokenizer_json(frontier::closed_vocabulary());
    transformer::Tokenizer read(path);
    std::filesystem::remove(path);
    return read;
  }();
  return tokenizer;
}

std::string context_of(std::string const& prompt) {
  std::string const open = "<context>\n";
  std::size_t const begin = prompt.find(open) + open.size();
  return prompt.substr(begin, prompt.find("\n</context>") - begin);
}

int occurrences(std::string const& text, std::string const& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::vector<std::string> lines_of(std::string const& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace test

using namespace frontier;

namespace {

bool reads_whole_outputs(std::string const& task) {
  return task == "niah" || task == "vt" || task == "story_retrieval";
}

}  // namespace

TEST_CASE("tasks: there are nine") { CHECK(all_tasks().size() == 9); }

TEST_CASE("tasks: the end of a prompt fits into the window that methods estimate from") {
  for (Task const* task : all_tasks()) {
    for (std::int64_t length : {2048, 4096, 8192}) {
      Sample const sample = task->generate(test::request(length, 1));
      std::size_t const tail = sample.prompt.find("</context>");
      INFO(task->name());
      std::int64_t const window = (task->long_tail() ? 128 : 64) * (length < 8192 ? 1 : 2);
      CHECK(test::request(length).count(sample.prompt.substr(tail)) <= window);
    }
  }
}

TEST_CASE("tasks: the same request gives the same bytes, another index or seed others") {
  for (Task const* task : all_tasks()) {
    INFO(task->name());
    Sample const sample = task->generate(test::request(2048, 5));
    CHECK(sample.prompt == task->generate(test::request(2048, 5)).prompt);
    CHECK(sample.prompt != task->generate(test::request(2048, 6)).prompt);
    CHECK(sample.prompt != task->generate(test::request(2048, 5, 44)).prompt);
    CHECK(sample.index == 5);
  }
}

TEST_CASE("tasks: prompts fill 95 to 100 percent of the asked length") {
  for (Task const* task : all_tasks()) {
    for (std::int64_t length : {1024, 2048, 4096, 8192, 16384}) {
      Sample const sample = task->generate(test::request(length, length));
      INFO(task->name() << " at " << length);
      CHECK(sample.prompt_tokens <= length);
      CHECK(static_cast<double>(sample.prompt_tokens) >= 0.95 * static_cast<double>(length));
      CHECK(static_cast<std::int64_t>(test::closed_tokenizer().encode(sample.prompt).size()) == sample.prompt_tokens);
    }
  }
}

TEST_CASE("tasks: the gold answer scores 1 in both modes, before and after the tokenizer") {
  for (Task const* task : all_tasks()) {
    for (std::int64_t index = 0; index < 5; ++index) {
      Sample const sample = task->generate(test::request(4096, index));
      INFO(task->name());
      std::string const written =
          test::closed_tokenizer().decode(test::closed_tokenizer().encode(response(sample.gold)));
      for (std::string const& output : {response(sample.gold), written}) {
        Score const score = task->score(sample, output);
        CHECK(score.strict == 1.0);
        CHECK(score.compat == 1.0);
        CHECK_FALSE(score.unparsed);
        CHECK_FALSE(score.compat_dropped);
      }
    }
  }
}

TEST_CASE("tasks: empty, truncated and foreign outputs score 0 in strict mode") {
  for (Task const* task : all_tasks()) {
    Sample const sample = task->generate(test::request(2048, 1));
    INFO(task->name());
    Score const nothing = task->score(sample, "");
    CHECK(nothing.strict == 0.0);
    CHECK(nothing.unparsed);
    // Without the closing tag three tasks read the whole output in compat mode; strict mode reads nothing.
    Score const open_ended = task->score(sample, "<answer>\n" + sample.gold + "\n");
    CHECK(open_ended.strict == 0.0);
    CHECK((open_ended.compat > 0.0) == reads_whole_outputs(task->name()));
    CHECK(open_ended.unparsed);
    // The published means of two tasks leave out samples without any prediction.
    CHECK(nothing.compat_dropped == (task->name() == "story_multihop" || task->name() == "story_filtering"));
    CHECK(open_ended.compat_dropped == (task->name() == "story_multihop"));
    CHECK(task->score(sample, response("something else entirely")).strict == 0.0);
    CHECK(task->score(sample, response("")).strict == 0.0);
  }
}

TEST_CASE("tasks: strict mode reads the last answer block, compat the first") {
  for (Task const* task : all_tasks()) {
    Sample const sample = task->generate(test::request(2048, 2));
    INFO(task->name());
    Score const score = task->score(sample, response("nothing") + response(sample.gold));
    CHECK(score.strict == 1.0);
    CHECK(score.compat == 0.0);
    // Tags are found in any case.
    CHECK(task->score(sample, "<ANSWER>\n" + sample.gold + "\n</Answer>").strict == 1.0);
  }
}

TEST_CASE("tasks: too short a length is one clear sentence") {
  for (Task const* task : all_tasks()) {
    CHECK_THROWS_AS(task->generate(test::request(40)), std::invalid_argument);
  }
}

TEST_CASE("tasks: names find their task") {
  for (Task const* task : all_tasks()) CHECK(find_task(task->name()) == task);
  CHECK(find_task("no such task") == nullptr);
}

TEST_CASE("prompt: the question stands before and after the context") {
  for (Task const* task : all_tasks()) {
    Sample const sample = task->generate(test::request(2048, 3));
    std::size_t const context = sample.prompt.find("<context>");
    std::size_t const repeated = sample.prompt.find("s_repeated>") != std::string::npos
                                     ? sample.prompt.find("<questions_repeated>")
                                     : sample.prompt.find("<question_repeated>");
    REQUIRE(repeated != std::string::npos);
    std::size_t const begin = sample.prompt.find('\n', repeated) + 1;
    std::string const question = sample.prompt.substr(begin, sample.prompt.find("\n</question", begin) - begin);
    CHECK(sample.prompt.find(question) < context);
    CHECK(sample.prompt.rfind(question) > context);
    std::string const end = "\n<assistant>\n";
    CHECK(sample.prompt.substr(sample.prompt.size() - end.size()) == end);
  }
}

TEST_CASE("answer_block: first, last, nested and unfinished") {
  CHECK_FALSE(answer_block("none", false));
  CHECK_FALSE(answer_block("</answer><answer>", false));
  CHECK_FALSE(answer_block("</answer>", true));
  CHECK(answer_block("a<answer>x</answer><answer>y</answer>", false) == "x");
  CHECK(answer_block("a<answer>x</answer><answer>y</answer>", true) == "y");
  CHECK(answer_block("<answer>x</answer><answer>y", true) == "x");
  CHECK(answer_block("<answer>the tag <answer>y</answer>", true) == "y");
}
