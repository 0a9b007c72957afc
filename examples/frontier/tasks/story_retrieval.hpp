#pragma once

#include "frontier/random.hpp"
#include "frontier/tasks/prompt.hpp"

namespace frontier {

/// Story Retrieval: many cheap look-ups by chapter number in natural text.
class StoryRetrieval final : public Task {
 public:
  struct Shape {
    std::int64_t queries = 16;
    std::int64_t questions = 1;  // turns about the same context
    bool training = false;       // whether max_tokens holds the responses and further turns too
    Form form = Form::compact;
  };

  using Task::Task;

  static Shape shape_at(std::int64_t max_tokens, Form form = Form::compact);
  static Draft draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count);

  std::string name() const override { return "story_retrieval"; }
  bool long_tail() const override { return true; }
  Sample generate(Request const& request) const override;
  Score score(Sample const& sample, std::string const& output) const override;
};

}  // namespace frontier
