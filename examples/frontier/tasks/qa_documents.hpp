#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "frontier/random.hpp"
#include "frontier/tasks/task.hpp"

namespace frontier {

struct Fact {
  std::string subject;
  std::string relation;
  std::vector<std::string> values;  // one, sometimes two
};

/// Numbered documents that state facts about people, one document for a person. The first fact of the first document is
/// drawn first, so it is the same for every form and length.
class FactDocuments {
 public:
  struct Form {
    std::int64_t sentences = 8;  // of a document
    std::int64_t subjects = 1;   // people of a document
    bool talk = false;           // turns of two speakers, a quarter of which state nothing
    double second_value = 0;     // share of facts with two values
  };

  struct Document {
    std::int64_t number = 0;  // its place in the context, from 1
    std::vector<std::string> subjects;
    std::vector<Fact> facts;  // in the order of drawing
    std::vector<std::string> sentences;
  };

  /// As many documents as `allowance` tokens hold, then the beginning of one more.
  FactDocuments(Random& random, Form form, std::int64_t allowance, CountTokens const& count);

  /// The whole ones, in the order of drawing.
  std::vector<Document> const& whole() const { return whole_; }
  std::string const& text() const { return text_; }

 private:
  std::vector<Document> whole_;
  std::string text_;
};

}  // namespace frontier
