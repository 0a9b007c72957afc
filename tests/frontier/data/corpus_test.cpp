#include "frontier/data/corpus.hpp"

#include <filesystem>

#include "support/catch.hpp"
#include "transformer/scratch_folder.hpp"

using namespace frontier;

namespace {

constexpr char kSquad[] = R"({"version": "v2.0", "data": [
  {"title": "Mills", "paragraphs": [
    {"context": "The mill was built in 1410 by Anna.", "qas": [
      {"id": "1", "question": "When was it built?", "is_impossible": false,
       "answers": [{"text": "1410", "answer_start": 22}, {"text": "in 1410", "answer_start": 19},
                   {"text": "1410", "answer_start": 22}]},
      {"id": "2", "question": "Who burnt it?", "is_impossible": true, "answers": [],
       "plausible_answers": [{"text": "Anna", "answer_start": 30}]},
      {"id": "3", "question": " when was it BUILT? ", "is_impossible": false,
       "answers": [{"text": "never", "answer_start": 0}]}]},
    {"context": "A bridge stands there.", "qas": [
      {"id": "4", "question": "When was it built?", "is_impossible": false,
       "answers": [{"text": "a bridge", "answer_start": 0}]}]}]}]})";

constexpr char kQuality[] =
    R"({"article_id": "7", "set_unique_id": "7_A", "article": "<p>One &amp; two.</p>\n<p>5 < 6</p>", "questions": [
{"question": "What is one?", "options": ["a", "b", "c", "d"], "gold_label": 2, "difficult": 1}]})";

std::string one_line(std::string text) {
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text + "\n";
}

std::string const kTalk =
    "SENTENCE hello .\nSENTENCE where is it ?\nQUESTION what is asked\n"
    "OPTION a place 1\nOPTION a time 0\nOPTION a name 0\nOPTION the whereabouts 1\n";

template <class Read>
void refuses(Read const& read, std::string const& content, char const* says) {
  test::ScratchFolder const folder;
  auto const file = folder.write("data", content);
  CAPTURE(content, says);
  CHECK_THROWS_WITH(read(file), test::contains(file.string()));
  CHECK_THROWS_WITH(read(file), test::contains(says));
}

std::string replaced(std::string text, std::string const& from, std::string const& to) {
  return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST_CASE("read_squad: answerable questions, all of their answers, contexts sorted") {
  test::ScratchFolder const folder;
  Corpus const corpus = read_squad(folder.write("dev.json", kSquad));
  CHECK(corpus.name == "squad");
  CHECK_FALSE(corpus.has_options);
  CHECK(corpus.contexts == std::vector<std::string>{"A bridge stands there.", "The mill was built in 1410 by Anna."});
  REQUIRE(corpus.questions.size() == 2);
  CHECK(corpus.questions[0].context == 1);
  CHECK(corpus.questions[0].text == "When was it built?");
  CHECK(corpus.questions[0].answers == std::vector<std::string>{"1410", "in 1410"});
  CHECK(corpus.questions[1].context == 0);
}

TEST_CASE("read_squad: what is wrong is named with its place") {
  refuses(read_squad, "{}", "'data' is missing");
  refuses(read_squad, "[]", "not a JSON object");
  refuses(read_squad, std::string(kSquad).substr(0, 200), "is not JSON, byte");
  refuses(read_squad, R"({"data": []})", "holds no question");
  refuses(read_squad, R"({"data": [7]})", "data[0]: is not a JSON object");
  refuses(read_squad, replaced(kSquad, "\"context\": \"A", "\"content\": \"A"),
          "data[0].paragraphs[1]: 'context' is missing");
  refuses(read_squad, replaced(kSquad, "\"is_impossible\": true", "\"is_impossible\": 1"),
          "data[0].paragraphs[0].qas[1]: 'is_impossible' is not true or false");
  refuses(read_squad, replaced(kSquad, "[{\"text\": \"never\", \"answer_start\": 0}]", "[]"),
          "data[0].paragraphs[0].qas[2]: has no answer");
  CHECK_THROWS_WITH(read_squad("/nowhere/dev.json"), test::contains("/nowhere/dev.json: cannot be opened"));
}

TEST_CASE("read_quality: two lines of one article are one context, without tags, with lettered options") {
  test::ScratchFolder const folder;
  std::string const second = replaced(replaced(kQuality, "What is one?", "What is two?"), ", \"difficult\": 1", "");
  std::string const other = replaced(replaced(kQuality, "\"7\"", "\"8\""), "One", "Zero");
  Corpus const corpus = read_quality(
      folder.write("dev.jsonl", one_line(kQuality) + "\n" + one_line(second) + one_line(other) + one_line(kQuality)));
  CHECK(corpus.has_options);
  CHECK(corpus.contexts == std::vector<std::string>{"One & two.\n5 < 6", "Zero & two.\n5 < 6"});
  REQUIRE(corpus.questions.size() == 3);
  CHECK(corpus.questions[0].text == "What is one?\nA. a\nB. b\nC. c\nD. d");
  CHECK(corpus.questions[0].answers == std::vector<std::string>{"B"});
  CHECK(corpus.questions[0].difficult);
  CHECK_FALSE(corpus.questions[1].difficult);
  CHECK(corpus.questions[1].context == 0);
  CHECK(corpus.questions[2].context == 1);
}

TEST_CASE("read_quality: what is wrong is named with its line") {
  std::string const good = one_line(kQuality);
  refuses(read_quality, good + good.substr(0, 60), "line 2: is not a JSON object");
  refuses(read_quality, good + "\n[1]\n", "line 3: is not a JSON object");
  refuses(read_quality, good + replaced(good, "\"gold_label\": 2", "\"gold_label\": 5"),
          "line 2: questions[0]: 'gold_label' is not a number from 1 to 4");
  refuses(read_quality, replaced(good, "\"gold_label\": 2, ", ""), "line 1: questions[0]: 'gold_label' is missing");
  refuses(read_quality, replaced(good, ", \"d\"]", "]"), "line 1: questions[0]: has 3 options, not 4");
  refuses(read_quality, replaced(good, "\"article\"", "\"text\""), "line 1: 'article' is missing");
  refuses(read_quality, "", "holds no question");
}

TEST_CASE("read_toefl: files with the same sentences are one context, in any folder") {
  test::ScratchFolder const folder;
  for (char const* split : {"train", "dev"}) std::filesystem::create_directory(folder.path() / split);
  folder.write("train/tpo_2-lecture_1_1", kTalk);
  folder.write("dev/tpo_1-lecture_1_2", replaced(kTalk, "what is asked", "who asks ?"));
  folder.write("dev/tpo_3-lecture_1_2", replaced(kTalk, "hello", "good day"));
  folder.write("train/tpo_3-lecture_1_3", kTalk);  // the same question of the same talk
  folder.write("train/README", "no talk");
  Corpus const corpus = read_toefl(folder.path());
  CHECK(corpus.contexts == std::vector<std::string>{"good day .\nwhere is it ?", "hello .\nwhere is it ?"});
  REQUIRE(corpus.questions.size() == 3);
  CHECK(corpus.questions[0].text == "who asks ?\nA. a place\nB. a time\nC. a name\nD. the whereabouts");
  CHECK(corpus.questions[1].text.starts_with("what is asked?\n"));
  CHECK(corpus.questions[1].answers == std::vector<std::string>{"AD"});
}

TEST_CASE("read_toefl: what is wrong is named with its file and line") {
  auto const refuses_talk = [](std::string const& text, char const* says) {
    test::ScratchFolder const folder;
    folder.write("tpo_1-lecture_1_1", text);
    CHECK_THROWS_WITH(read_toefl(folder.path()), test::contains("tpo_1-lecture_1_1: "));
    CHECK_THROWS_WITH(read_toefl(folder.path()), test::contains(says));
  };
  refuses_talk(replaced(kTalk, "OPTION a time 0", "OPTION a time"), "line 5: is neither");
  refuses_talk(replaced(kTalk, "SENTENCE hello", "SENTENCES hello"), "line 1: is neither");
  refuses_talk(kTalk + "OPTION a fifth 0\n", "line 8: is neither");
  refuses_talk(kTalk + "QUESTION again\n", "line 8: is neither");
  refuses_talk(replaced(kTalk, "OPTION a time 0\n", ""), "has 3 OPTION lines, not 4");
  refuses_talk(replaced(replaced(kTalk, "place 1", "place 0"), "abouts 1", "abouts 0"), "has no right option");
  refuses_talk("", "has no SENTENCE");
  test::ScratchFolder const empty;
  CHECK_THROWS_WITH(read_toefl(empty.path()), test::contains("holds no question"));
}

TEST_CASE("read_choices: the exchange format, with and without the prefix of its questions") {
  test::ScratchFolder const folder;
  std::string const line = R"({"context": "A talk.", "context_len": 2, "questions":
      ["Question: why? Options: A.a B.b C.c D.d ", "who? A.a B.b C.c D.d"], "num_question": 2, "answer": ["DA", "C"],
      "dataset": "toefl_qa"})";
  auto const file = folder.write("toefl.jsonl", one_line(line));
  for (Corpus const& corpus : {read_toefl(file), read_choices(file, "toefl"), read_quality(file)}) {
    CHECK(corpus.contexts == std::vector<std::string>{"A talk."});
    REQUIRE(corpus.questions.size() == 2);
    CHECK(corpus.questions[0].text == "why? Options: A.a B.b C.c D.d ");
    CHECK(corpus.questions[0].answers == std::vector<std::string>{"AD"});
    CHECK(corpus.questions[1].answers == std::vector<std::string>{"C"});
  }
  refuses(read_toefl, one_line(replaced(line, "[\"DA\", \"C\"]", "[\"DA\"]")), "line 1: 'questions' and 'answer'");
  refuses(read_toefl, one_line(replaced(line, "\"DA\"", "\"E\"")), "line 1: answer[0]: must consist of the letters");
  refuses(read_toefl, one_line(replaced(line, "\"C\"", "3")), "line 1: answer[1]: is not a text");
}

TEST_CASE("without_html: tags, entities, paragraphs, and what only looks like a tag") {
  CHECK(without_html("") == "");
  CHECK(without_html("<p>One</p><p class=\"x\">Two<br/>Three</p>") == "One\nTwo\nThree");
  CHECK(without_html("a &lt;b&gt; &amp;amp; <i>c</i> 1 < 2 > 1 <3") == "a <b> &amp; c 1 < 2 > 1 <3");
}
