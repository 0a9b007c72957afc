#pragma once

#include <utility>

#include "frontier/random.hpp"
#include "frontier/tasks/prompt.hpp"

namespace frontier {

/// Ruler CWE: find the words that a long shuffled list repeats most.
class CommonWords final : public Task {
 public:
  struct Shape {
    std::int64_t common = 10;  // words to find
    std::int64_t common_times = 20;
    std::int64_t rare_times = 2;
    bool training = false;  // whether max_tokens holds the response too
  };

  /// The compact form, whose words are those of the closed vocabulary.
  CommonWords() = default;
  /// The natural form, with numbered lines and words of this pool.
  explicit CommonWords(std::vector<std::string> pool) : Task(Form::natural), pool_(std::move(pool)) {}

  static Shape shape_at(std::int64_t max_tokens);
  static Draft draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count);

  std::string name() const override { return "cwe"; }
  Sample generate(Request const& request) const override;
  Score score(Sample const& sample, std::string const& output) const override;

 private:
  Draft natural_draft(Request const& request) const;

  std::vector<std::string> pool_;
};

}  // namespace frontier
