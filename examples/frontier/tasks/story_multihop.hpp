#pragma once

#include "frontier/random.hpp"
#include "frontier/tasks/prompt.hpp"

namespace frontier {

/// Story Multi-hop: find where an item was acquired, then what was acquired in the chapter before.
class StoryMultihop final : public Task {
 public:
  struct Shape {
    std::int64_t questions = 1;  // turns about the same context, as far as the chapters allow
    bool training = false;       // whether max_tokens holds the responses and further turns too
  };

  static Draft draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count);

  std::string name() const override { return "story_multihop"; }
  Sample generate(Request const& request) const override;
  Score score(Sample const& sample, std::string const& output) const override;
};

}  // namespace frontier
