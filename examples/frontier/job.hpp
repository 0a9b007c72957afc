#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "frontier/methods.hpp"
#include "frontier/records.hpp"
#include "frontier/settings.hpp"
#include "frontier/tasks/task.hpp"
#include "transformer/model.hpp"
#include "transformer/tokenizer.hpp"

namespace frontier {

/// A method at a budget; the baseline has none.
struct Cell {
  Variant variant;
  Budget budget;

  Method const& method() const { return *variant.method; }
};

/// A task with what the evaluation needs to know about it.
using TaskPointer = std::shared_ptr<Task const>;

/// One prompt and what is still to be asked of it.
struct Job {
  TaskPointer task;
  std::int64_t length = 0;
  std::uint64_t seed = 0;
  Sample sample;
  std::string prompt_fingerprint;
  std::vector<Cell> pending;

  RecordId id(std::string const& configuration, Cell const& cell, int turn) const;
  /// How many records a cell of it makes.
  int turns() const { return sample.more.empty() ? 1 : 2; }
};

/// Parameters that methods need for their budgets, by method and in the order of its budgets: solved once for each task
/// and length, on its first prompt.
using Sizes = std::map<std::string, std::vector<std::int64_t>>;

/// What answers jobs: a model with its tokenizer. One for any number of threads.
class Answerer {
 public:
  Answerer(std::string configuration, Settings const& settings, transformer::Model const& model,
           transformer::Tokenizer const& tokenizer, std::string model_name)
      : configuration_(std::move(configuration)),
        settings_(settings),
        model_(model),
        tokenizer_(tokenizer),
        model_name_(std::move(model_name)) {}

  /// The sizes of those cells' methods that have any, at which they keep the budgets of the example.
  Sizes calibrate(lacuna::Cpu exec, Job const& example, std::vector<Cell> const& cells) const;
  /// Calls take(records) for groups of the job's pending cells, as they are done.
  void answer(lacuna::Cpu exec, Job const& job, Sizes const& sizes,
              std::function<void(std::vector<Record>)> const& take) const;

 private:
  struct Sequence;

  Setup setup_for(Job const& job, Cell const& cell) const;
  std::vector<std::int64_t> solve(lacuna::Cpu exec, Job const& example, Cell const& cell, Prompt const& prompt,
                                  std::vector<float> const& dense_logits) const;
  double tried_density(lacuna::Cpu exec, Job const& example, Cell const& cell, Setup const& setup, Prompt const& prompt,
                       std::vector<float> const& dense_logits) const;
  Prompt read_densely(lacuna::Cpu exec, Job const& job, std::vector<std::int32_t> const& tokens,
                      std::vector<float>& logits) const;
  std::vector<Record> answer_group(lacuna::Cpu exec, Job const& job, std::vector<Sequence> sequences) const;
  Sequence start(lacuna::Cpu exec, Job const& job, Cell const& cell, Sizes const& sizes, Prompt const& prompt) const;
  Record make_record(Job const& job, Sequence const& sequence, int turn, std::vector<std::int32_t> const& output) const;
  void ask_again(lacuna::Cpu exec, Job const& job, std::vector<std::vector<std::int32_t>> const& outputs,
                 std::vector<Sequence>& sequences) const;

  std::string configuration_;
  Settings const& settings_;
  transformer::Model const& model_;
  transformer::Tokenizer const& tokenizer_;
  std::string model_name_;
};

}  // namespace frontier
