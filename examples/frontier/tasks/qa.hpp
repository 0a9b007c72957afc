#pragma once

#include "frontier/random.hpp"
#include "frontier/tasks/prompt.hpp"
#include "frontier/tasks/qa_documents.hpp"

namespace frontier {

/// One question about one of several documents. Generated fact documents stand in for the public data sets, so one
/// closed vocabulary covers them: short documents and open questions (SQuAD), long documents and four options
/// (QuALITY), talks and four options of which two can be right (TOEFL).
class QuestionAnswering final : public Task {
 public:
  enum class Kind { squad, quality, toefl };

  struct Shape {
    FactDocuments::Form form;
    std::int64_t questions = 1;  // turns about the same context
    double open_share = 0;       // of multiple-choice turns that are asked without options instead
    bool training = false;       // whether max_tokens holds the responses and further turns too
  };

  explicit QuestionAnswering(Kind kind) : kind_(kind) {}

  static Shape shape_at(Kind kind, std::int64_t max_tokens);
  static Draft draft(Random& random, Kind kind, Shape shape, std::int64_t max_tokens, CountTokens const& count);

  std::string name() const override;
  bool long_tail() const override { return kind_ != Kind::squad; }  // options stand in the question
  Sample generate(Request const& request) const override;
  Score score(Sample const& sample, std::string const& output) const override;

 private:
  Kind kind_;
};

}  // namespace frontier
