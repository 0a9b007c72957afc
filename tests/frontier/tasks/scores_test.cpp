#include "frontier/tasks/scores.hpp"

#include "frontier/tasks/prompt.hpp"
#include "support/catch.hpp"

using namespace frontier;

TEST_CASE("scores: intersection over union") {
  CHECK(intersection_over_union({}, {}) == 1.0);
  CHECK(intersection_over_union({"a"}, {}) == 0.0);
  CHECK(intersection_over_union({"a", "b", "c"}, {"b", "c", "d"}) == 0.5);
}

TEST_CASE("token f1: sets in compat, multisets in strict") {
  CHECK(TokenF1::compat("cat", response("the cat cat")) == 1.0);
  CHECK(TokenF1::strict("cat", response("the cat cat")) == Approx(2.0 / 3.0));
}

TEST_CASE("token f1: compat rounds to two decimals") {
  CHECK(TokenF1::compat("old stone bridge", response("stone bridge")) == 0.8);
  CHECK(TokenF1::compat("golden harp", response("golden harp of north Wales")) == 0.57);
  CHECK(TokenF1::strict("golden harp", response("golden harp of north Wales")) == Approx(4.0 / 7.0));
}

TEST_CASE("token f1: case, punctuation, articles and joining words do not count") {
  for (std::string const text : {"A Willow-Creek!", "about the willowcreek", "to willowcreek and"}) {
    CHECK(TokenF1::compat("willowcreek", response(text)) == 1.0);
    CHECK(TokenF1::strict("willowcreek", response(text)) == 1.0);
  }
  CHECK(TokenF1::compat("willow", response("the")) == 0.0);
}

TEST_CASE("token f1: compat finds lower-case tags alone, strict any") {
  CHECK(TokenF1::compat("harp", "<Answer>harp</Answer>") == 0.0);
  CHECK(TokenF1::strict("harp", "<Answer>harp</Answer>") == 1.0);
  CHECK(TokenF1::compat("harp", "harp") == 0.0);
  CHECK(TokenF1::strict("harp", "harp") == 0.0);
  CHECK(TokenF1::compat("harp", "<answer>harp</answer><answer>lute</answer>") == 1.0);
  CHECK(TokenF1::strict("harp", "<answer>harp</answer><answer>lute</answer>") == 0.0);
}

TEST_CASE("choices: letters in any order and case, with the usual marks") {
  for (std::string const text : {"A, B", "ba", "B A", "[a/b]", "A and B.", "Question 3. BA", "(A), (B)"}) {
    CAPTURE(text);
    CHECK(ChoiceMatch::strict("A, B", response(text)) == 1.0);
  }
  for (std::string const text : {"A, B", "ba", "B A", "[a/b]", "Question 3. BA"}) {
    CAPTURE(text);
    CHECK(ChoiceMatch::compat("A, B", response(text)) == 1.0);
  }
}

TEST_CASE("choices: compat harvests letters from words, strict rejects such a block") {
  CHECK(ChoiceMatch::compat("A, B", response("Answer: B")) == 1.0);
  CHECK(ChoiceMatch::compat("B", response("Answer: B")) == 0.0);
  CHECK(ChoiceMatch::strict("B", response("Answer: B")) == 0.0);
  CHECK(ChoiceMatch::strict("A, B", response("Answer: B")) == 0.0);
  CHECK(ChoiceMatch::compat("A, B", response("A and B")) == 0.0);  // reads AABD
}

TEST_CASE("choices: strict merges repeated letters and reads one letter before its option") {
  CHECK(ChoiceMatch::compat("B", response("BB")) == 0.0);
  CHECK(ChoiceMatch::strict("B", response("BB")) == 1.0);
  CHECK(ChoiceMatch::strict("B", response("B. golden harp")) == 1.0);
  CHECK(ChoiceMatch::strict("B", response("(b) golden harp\n")) == 1.0);
  CHECK(ChoiceMatch::strict("B", response("B golden harp")) == 0.0);
  CHECK(ChoiceMatch::strict("B", response("B. golden harp\nC. lute")) == 0.0);
  CHECK(ChoiceMatch::strict("B", response("A")) == 0.0);
  CHECK(ChoiceMatch::strict("B", response("")) == 0.0);
}
