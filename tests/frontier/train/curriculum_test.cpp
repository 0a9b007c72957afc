#include "frontier/train/curriculum.hpp"

#include <set>

#include "frontier/tasks/task_support.hpp"
#include "frontier/train/vocabulary.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace {

std::int64_t answer_tokens(std::vector<std::uint16_t> const& row) {
  std::int64_t answers = 0;
  for (std::uint16_t word : row) answers += word >> 14 == static_cast<int>(Weight::answer);
  return answers;
}

}  // namespace

TEST_CASE("vocabulary: words are unique, special tokens come first, ids fit a training word") {
  std::vector<std::string> const words = closed_vocabulary();
  CHECK(std::set<std::string>(words.begin(), words.end()).size() == words.size());
  CHECK(words[0] == "<pad>");
  CHECK(words[1] == "<bos>");
  CHECK(words[2] == "<eos>");
  CHECK(words.size() > 2000);
  CHECK(words.size() < 2500);
}

TEST_CASE("curriculum: a row depends on lesson, length and number alone") {
  for (Lesson lesson : {Lesson::mixture, Lesson::niah, Lesson::vt, Lesson::story_retrieval}) {
    for (std::int64_t length : {272, 1088}) {
      auto const row = training_row(test::closed_tokenizer(), lesson, length, 9);
      CHECK(row.size() == static_cast<std::size_t>(length + 1));
      CHECK(row == training_row(test::closed_tokenizer(), lesson, length, 9));
      CHECK(row != training_row(test::closed_tokenizer(), lesson, length, 10));
      CHECK(row != held_out_row(test::closed_tokenizer(), lesson, length, 9));
      CHECK(answer_tokens(row) > 5);
    }
  }
}

TEST_CASE("curriculum: random identifiers of the context carry no loss, answers all of it") {
  transformer::Tokenizer const& tokenizer = test::closed_tokenizer();
  auto const row = held_out_row(tokenizer, Lesson::niah, 544, 0);
  std::int32_t const context_end = tokenizer.id_of("</context>").value();
  std::int32_t const speaks = tokenizer.id_of("<assistant>").value();
  bool in_context = true;
  bool answering = false;
  for (std::uint16_t word : row) {
    std::int32_t const id = word & 0x3FFF;
    auto const weight = static_cast<Weight>(word >> 14);
    if (answering && id != 0) CHECK(weight == Weight::answer);
    if (!answering) CHECK(weight != Weight::answer);
    std::int32_t const symbol = id - tokenizer.id_of("a0").value();
    if (in_context && symbol >= 0 && symbol < 256) CHECK(weight == Weight::none);
    if (id == context_end) in_context = false;
    if (id == speaks) answering = true;
  }
  CHECK_FALSE(in_context);
}
