#include "frontier/train/curriculum.hpp"

#include <map>
#include <set>

#include "frontier/tasks/task_support.hpp"
#include "frontier/train/vocabulary.hpp"
#include "frontier/words.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace {

constexpr Lesson kAllLessons[] = {Lesson::first_three,     Lesson::niah,     Lesson::vt,
                                  Lesson::story_retrieval, Lesson::cwe,      Lesson::story_multihop,
                                  Lesson::story_filtering, Lesson::qa_squad, Lesson::qa_quality,
                                  Lesson::qa_toefl,        Lesson::mixture};

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

TEST_CASE("vocabulary: no word was added, moved or lost since the first model was trained") {
  std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a over the words, each ended by a zero
  for (std::string const& word : closed_vocabulary()) {
    for (char c : word + '\0') hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  CHECK(closed_vocabulary().size() == 2279);
  CHECK(hash == 10435475990171291469ULL);
}

TEST_CASE("curriculum: lessons have the names of the tasks, and two mixtures") {
  for (Task const* task : all_tasks()) CHECK(find_lesson(task->name()));
  CHECK(find_lesson("mixture") == Lesson::mixture);
  CHECK(find_lesson("first_three") == Lesson::first_three);
  CHECK_FALSE(find_lesson("no such lesson"));
}

TEST_CASE("curriculum: rows of the first model's lessons are what they were") {
  std::map<std::string, std::uint64_t> const known = {{"niah", 8051187329584952726ULL},
                                                      {"vt", 17545021996256036670ULL},
                                                      {"story_retrieval", 7554279301602750278ULL},
                                                      {"first_three", 16355231177251028692ULL}};
  for (auto const& [name, expected] : known) {
    std::uint64_t hash = 14695981039346656037ULL;
    for (std::uint16_t word : training_row(test::closed_tokenizer(), find_lesson(name).value(), 1088, 7)) {
      hash = (hash ^ word) * 1099511628211ULL;
    }
    INFO(name);
    CHECK(hash == expected);
  }
}

TEST_CASE("curriculum: a row depends on lesson, length and number alone") {
  for (Lesson lesson : kAllLessons) {
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

TEST_CASE("curriculum: the shuffled words of a list carry no loss") {
  transformer::Tokenizer const& tokenizer = test::closed_tokenizer();
  std::set<std::int32_t> pool;
  for (std::string const& word : words::common_pool()) pool.insert(tokenizer.id_of(word).value());
  for (Lesson lesson : {Lesson::cwe, Lesson::qa_squad}) {
    std::int64_t met = 0;
    bool in_context = true;
    for (std::uint16_t word : training_row(tokenizer, lesson, 544, 3)) {
      std::int32_t const id = word & 0x3FFF;
      if (in_context && pool.count(id) != 0) {
        CHECK(static_cast<Weight>(word >> 14) == Weight::none);
        ++met;
      }
      if (id == tokenizer.id_of("</context>").value()) in_context = false;
    }
    CHECK(met > 20);
  }
}

TEST_CASE("curriculum: every lesson fits into every length, and rows are mostly full") {
  for (Lesson lesson : kAllLessons) {
    for (std::int64_t length : {272, 544, 1088, 2176}) {
      double filled = 0;
      for (std::int64_t row = 0; row < 8; ++row) {
        for (auto* make : {&training_row, &held_out_row}) {
          for (std::uint16_t word : make(test::closed_tokenizer(), lesson, length, row)) filled += (word & 0x3FFF) != 0;
        }
      }
      INFO(static_cast<int>(lesson) << " at " << length);
      CHECK(filled > 0.8 * 16 * static_cast<double>(length));
    }
  }
}
