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
    Form form = Form::compact;
    bool drop_orphan_sales = false;  // leave out later sales of what was never acquired
  };

  explicit StoryFiltering(Form form = Form::compact, bool drop_orphan_sales = false)
      : Task(form), drop_orphan_sales_(drop_orphan_sales) {}

  static Shape shape_at(std::int64_t max_tokens, Form form = Form::compact);
  static Draft draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count);

  std::string name() const override { return "story_filtering"; }
  Sample generate(Request const& request) const override;
  Score score(Sample const& sample, std::string const& output) const override;

 private:
  bool drop_orphan_sales_;
};

}  // namespace frontier
