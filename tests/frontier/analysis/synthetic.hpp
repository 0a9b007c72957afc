#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "frontier/analysis/grid.hpp"

namespace test {

/// What a made-up evaluation consists of. score(parameters, task, length, budget, sample) is the truth that an analysis
/// should find again; a method called dense has budget 1 alone.
struct Synthetic {
  std::vector<std::pair<std::string, std::int64_t>> models = {{"one", 1'000'000}};
  std::vector<std::string> tasks = {"easy", "hard"};
  std::vector<std::int64_t> lengths = {1024};
  std::vector<std::string> methods = {"quest"};
  std::vector<double> budgets = {0.5, 0.2, 0.1, 0.05};
  std::int64_t samples = 10;
  std::string phase = "decode";
  std::function<double(frontier::Record const&)> score;
  std::function<frontier::Cost(frontier::Record const&)> cost = [](frontier::Record const& record) {
    auto const size = static_cast<double>(record.parameters), length = static_cast<double>(record.id.length);
    return frontier::Cost{size * length * (1.0 + record.density), 0.0, size, 100.0 * length * record.density, 0.0, 2.0};
  };

  std::vector<frontier::Record> records() const {
    std::vector<frontier::Record> made;
    for (auto const& [model, parameters] : models)
      for (std::string const& task : tasks)
        for (std::int64_t length : lengths)
          for (std::int64_t index = 0; index < samples; ++index) {
            frontier::Record record;
            record.id = {"c", 43, task, length, index, 1, 1, "dense", 1.0, "p"};
            record.model = model;
            record.parameters = parameters;
            record.dims = {4, 4, 2, 64, 256, 576, 100};
            record.phase = "dense";
            record.prompt_tokens = length;
            add(made, record);
            record.phase = phase;
            for (std::string const& method : methods)
              for (double budget : budgets) {
                record.id.method = method;
                record.id.budget = record.density = budget;
                add(made, record);
              }
          }
    return made;
  }
  frontier::Grid grid() const { return frontier::Grid(records()); }

 private:
  void add(std::vector<frontier::Record>& made, frontier::Record record) const {
    if (record.phase == "dense") record.density = 1.0;
    record.strict = record.compat = score(record);
    record.cost = cost(record);
    record.prefill_seconds = 1e-3 * static_cast<double>(record.id.length) * record.density;
    record.attend_seconds = 1e-4 * static_cast<double>(record.id.length) * record.density;
    record.output_tokens = 10;
    made.push_back(std::move(record));
  }
};

}  // namespace test
