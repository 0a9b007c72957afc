#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "frontier/data/corpus.hpp"
#include "frontier/tasks/qa.hpp"

namespace frontier {

/// The natural form of question answering: one question of a public data set about one numbered document among others
/// of the same set (tasks specification 4.1). Sample i asks the same question at every length of 8K and more. What each
/// document and each question costs is measured at the first call of generate(), so an object serves one tokenizer.
class CorpusQuestionAnswering final : public Task {
 public:
  using Kind = QuestionAnswering::Kind;

  CorpusQuestionAnswering(Kind kind, Corpus corpus) : Task(Form::natural), kind_(kind), corpus_(std::move(corpus)) {}

  std::string name() const override { return QuestionAnswering(kind_).name(); }
  Sample generate(Request const& request) const override;
  /// The best over all answers that are right.
  Score score(Sample const& sample, std::string const& output) const override;

 private:
  struct Selection {
    CorpusQuestion const* question = nullptr;
    std::int64_t alone_tokens = 0;    // of the prompt with its own document and no other
    std::vector<std::size_t> others;  // contexts that can stand beside it
  };

  Draft draft(CorpusQuestion const& question, std::string context, std::int64_t target, std::int64_t documents) const;
  void measure(CountTokens const& count) const;
  /// The question of this sample: of those whose own document leaves room for others, in the seed's order.
  Selection select(Request const& request) const;
  /// Its own document, which comes first, and as much of others as fits.
  std::vector<std::string> pack(Random& random, Request const& request, Selection selection) const;

  Kind kind_;
  Corpus corpus_;
  mutable std::once_flag measured_;
  mutable std::vector<std::int64_t> document_tokens_;  // of each context, header and separators included
  mutable std::vector<std::int64_t> prompt_tokens_;    // of each question, with its own document alone
};

}  // namespace frontier
