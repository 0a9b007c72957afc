#pragma once

#include "frontier/random.hpp"
#include "frontier/tasks/prompt.hpp"

namespace frontier {

/// Story Multi-hop: find where an item was acquired, then what was acquired just before, which
/// is in the chapter before unless chapters without a purchase are asked for.
class StoryMultihop final : public Task {
 public:
  struct Shape {
    std::int64_t questions = 1;  // turns about the same context, as far as the chapters allow
    bool training = false;       // whether max_tokens holds the responses and further turns too
    Form form = Form::compact;
    double purchase_probability = 1.0;  // below 1 the item before can be several chapters back
  };

  explicit StoryMultihop(Form form = Form::compact, double purchase_probability = 1.0)
      : Task(form), purchase_probability_(purchase_probability) {}

  static Draft draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count);

  std::string name() const override { return "story_multihop"; }
  Sample generate(Request const& request) const override;
  Score score(Sample const& sample, std::string const& output) const override;

 private:
  double purchase_probability_;
};

}  // namespace frontier
