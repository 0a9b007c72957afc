#pragma once

#include "frontier/random.hpp"
#include "frontier/tasks/prompt.hpp"

namespace frontier {

/// Ruler VT: follow chains of copy assignments back from a value; several chains compete.
class VariableTracking final : public Task {
 public:
  struct Shape {
    std::int64_t chains = 4;
    std::int64_t hops = 4;
    std::int64_t questions = 1;  // chains asked for
    bool training = false;       // whether max_tokens holds the responses and further turns too
    Form form = Form::compact;   // natural: names of five letters, values of five digits
  };

  using Task::Task;

  static Shape shape_at(std::int64_t max_tokens, Form form = Form::compact);
  static Draft draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count);

  std::string name() const override { return "vt"; }
  Sample generate(Request const& request) const override;
  Score score(Sample const& sample, std::string const& output) const override;
};

}  // namespace frontier
