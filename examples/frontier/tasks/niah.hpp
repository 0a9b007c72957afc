#pragma once

#include "frontier/random.hpp"
#include "frontier/tasks/prompt.hpp"

namespace frontier {

/// Ruler NIAH: copy the values of given keys out of a context in which every sentence has the same form.
class Niah final : public Task {
 public:
  struct Shape {
    std::int64_t symbols = 4;    // of a key and of a value
    std::int64_t queries = 4;    // keys asked for in one question
    std::int64_t questions = 1;  // turns about the same context
    bool training = false;       // whether max_tokens holds the responses and further turns too
    Form form = Form::compact;   // natural: keys and values of four groups of eight characters
    bool word_keys = false;      // keys are English words: one, or two joined by a hyphen in the natural form
  };

  explicit Niah(Form form = Form::compact, bool word_keys = false) : Task(form), word_keys_(word_keys) {}

  static Shape shape_at(std::int64_t max_tokens, Form form = Form::compact);
  static Draft draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count);

  std::string name() const override { return word_keys_ ? "niah_words" : "niah"; }
  bool long_tail() const override { return true; }
  Sample generate(Request const& request) const override;
  Score score(Sample const& sample, std::string const& output) const override;

 private:
  bool word_keys_;
};

}  // namespace frontier
