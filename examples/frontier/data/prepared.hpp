#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "frontier/tasks/natural_tasks.hpp"

namespace frontier {

/// Which prompts to write down.
struct Preparation {
  Form form = Form::natural;
  std::vector<std::string> tasks = {};  // empty: all nine
  std::vector<std::int64_t> lengths = {16384};
  std::int64_t samples = 10;
  std::uint64_t seed = 43;
  std::int64_t max_output_tokens = 1024;
  double min_fill = 0.95;
  NaturalSettings natural = {};
  CountTokens count = {};
};

/// What was written of one task at one length. Tokens of the part after the context, where methods estimate from, and
/// shares of the asked length.
struct Prepared {
  std::string task = {};
  std::int64_t length = 0;
  std::int64_t samples = 0;
  double tail_mean = 0.0;
  std::int64_t tail_min = 0;
  std::int64_t tail_max = 0;
  double fill_mean = 0.0;
  double fill_min = 0.0;
  std::filesystem::path file = {};
};

/// A task in either form. The compact ones live as long as the program; the pointer shares or owns.
/// Throws std::invalid_argument naming the known ones when there is no task of that name, and as natural_task does.
std::shared_ptr<Task const> task_in_form(std::string const& name, Form form, NaturalSettings const& natural);

/// The sample with its request's settings. Errors name task, length and sample.
Sample prepare_one(Task const& task, Preparation const& preparation, std::int64_t length, std::int64_t index);

/// Writes folder/TASK-LENGTH.jsonl for each task and length, one sample a line: index, input_text, gold_answer (a list
/// where several answers are right), length (of prompt and gold answer), prompt_tokens, tail_tokens and what else is
/// known about it. A file appears when all its samples are made. Throws std::runtime_error when it cannot be written.
std::vector<Prepared> write_prepared(Preparation const& preparation, std::filesystem::path const& folder);

}  // namespace frontier
