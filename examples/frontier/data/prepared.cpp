#include "frontier/data/prepared.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

namespace frontier {
namespace {

using Json = nlohmann::ordered_json;

std::string json_line(Sample const& sample, CountTokens const& count) {
  Json json;
  json["index"] = sample.index;
  json["input_text"] = sample.prompt;
  if (sample.other_golds.empty()) {
    json["gold_answer"] = sample.gold;
  } else {
    json["gold_answer"] = sample.other_golds;
    json["gold_answer"].insert(json["gold_answer"].begin(), sample.gold);
  }
  json["length"] = sample.prompt_tokens + count(sample.gold);
  json["prompt_tokens"] = sample.prompt_tokens;
  json["tail_tokens"] = sample.tail_tokens;
  for (Field const& field : sample.fields) json[field.name] = field.value;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Prepared measured(std::vector<Sample> const& samples, std::int64_t length) {
  Prepared result{.length = length, .samples = static_cast<std::int64_t>(samples.size())};
  result.tail_min = samples.front().tail_tokens;
  result.fill_min = 1.0;
  for (Sample const& sample : samples) {
    double const fill = static_cast<double>(sample.prompt_tokens) / static_cast<double>(length);
    result.tail_mean += static_cast<double>(sample.tail_tokens) / static_cast<double>(samples.size());
    result.tail_min = std::min(result.tail_min, sample.tail_tokens);
    result.tail_max = std::max(result.tail_max, sample.tail_tokens);
    result.fill_mean += fill / static_cast<double>(samples.size());
    result.fill_min = std::min(result.fill_min, fill);
  }
  return result;
}

void write_whole(std::filesystem::path const& file, std::string const& text) {
  std::filesystem::path const part = file.string() + ".part";
  std::ofstream out(part, std::ios::binary);
  out << text;
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(part, file, error);
  if (!out || error) throw std::runtime_error(file.string() + ": cannot be written");
}

}  // namespace

std::shared_ptr<Task const> task_in_form(std::string const& name, Form form, NaturalSettings const& natural) {
  if (Task const* const task = find_task(name)) {
    if (form == Form::natural) return natural_task(name, natural);
    return {task, [](Task const*) {}};
  }
  std::vector<std::string> names;
  for (Task const* task : all_tasks()) names.push_back(task->name());
  std::string known;
  for (std::string const& one : names) known += (known.empty() ? "" : ", ") + one;
  throw std::invalid_argument("there is no task '" + name + "'; there are " + known);
}

Sample prepare_one(Task const& task, Preparation const& preparation, std::int64_t length, std::int64_t index) {
  if (length < 1) throw std::invalid_argument("a length must be at least 1, not " + std::to_string(length));
  if (index < 0) throw std::invalid_argument("an index must be at least 0, not " + std::to_string(index));
  Request request{preparation.seed, index, length, preparation.count};
  request.max_output_tokens = preparation.max_output_tokens;
  request.min_fill = preparation.min_fill;
  try {
    return task.generate(request);
  } catch (std::invalid_argument const& error) {
    throw std::invalid_argument("task " + task.name() + ", length " + std::to_string(length) + ", sample " +
                                std::to_string(index) + ": " + error.what());
  }
}

std::vector<Prepared> write_prepared(Preparation const& preparation, std::filesystem::path const& folder) {
  if (preparation.samples < 1) {
    throw std::invalid_argument("samples must be at least 1, not " + std::to_string(preparation.samples));
  }
  std::vector<std::string> names = preparation.tasks;
  if (names.empty()) {
    for (Task const* task : all_tasks()) names.push_back(task->name());
  }
  // All of them first, so that a missing file is noticed before any work.
  std::vector<std::shared_ptr<Task const>> tasks;
  for (std::string const& name : names) {
    tasks.push_back(task_in_form(name, preparation.form, preparation.natural));
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw std::runtime_error(folder.string() + ": cannot be made: " + error.message());
  std::vector<Prepared> prepared;
  for (auto const& task : tasks) {
    for (std::int64_t length : preparation.lengths) {
      std::vector<Sample> samples;
      std::string text;
      for (std::int64_t index = 0; index < preparation.samples; ++index) {
        samples.push_back(prepare_one(*task, preparation, length, index));
        text += json_line(samples.back(), preparation.count);
      }
      prepared.push_back(measured(samples, length));
      prepared.back().task = task->name();
      prepared.back().file = folder / (task->name() + "-" + std::to_string(length) + ".jsonl");
      write_whole(prepared.back().file, text);
    }
  }
  return prepared;
}

}  // namespace frontier
