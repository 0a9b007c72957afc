#pragma once

#include "frontier/random.hpp"
#include "frontier/tasks/prompt.hpp"

namespace frontier {

/// Story Filtering: report the chapters in which nothing was acquired.
class StoryFiltering final : public Task {
 public:
  struct Shape {
    std::int64_t chapters = 3;  // without a purchase
    bool training = false;      // whether max_tokens holds the response too
  };

  static Shape shape_at(std::int64_t max_tokens);
  static Draft draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count);

  std::string name() const override { return "story_filtering"; }
  Sample generate(Request const& request) const override;
  Score score(Sample const& sample, std::string const& output) const override;
};

}  // namespace frontier
