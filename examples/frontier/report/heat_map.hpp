#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "frontier/report/figure.hpp"
#include "frontier/tasks/task.hpp"

namespace frontier {

/// A number for every layer and head.
struct HeatMap {
  std::string title;
  std::vector<std::vector<double>> shares;  // [layers][heads]
};

/// For one compact prompt: the share of tokens that 90 % of each head's attention lies on, mean over the last queries
/// of the prompt, and what each method kept of it at a budget. Methods without a choice head by head are left out.
std::vector<HeatMap> heat_maps_of(std::filesystem::path const& model, Task const& task, std::int64_t length,
                                  std::vector<std::string> const& methods, double budget);

/// All maps side by side under one scale of greys.
Figure heat_map_figure(std::vector<HeatMap> const& maps, std::string caption);

}  // namespace frontier
