#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "frontier/tasks/task.hpp"

namespace frontier {

/// What one method kept of one prompt.
struct Kept {
  std::string title;                       // task, length, sample, method and its parameters
  double density = 1.0;                    // mean over everything measured
  std::vector<std::vector<double>> heads;  // [layers][heads], measured share of the dense work; empty without a choice
  std::string output;
  double strict = 0.0;
};

/// Takes the model in `folder` through a compact sample under a method. Throws UsageError when there is no such method
/// or it does not fit, std::runtime_error when a file or the model fails.
Kept kept_of(std::filesystem::path const& folder, Task const& task, Sample const& sample, std::int64_t length,
             std::string const& method, double budget);

/// A line for each layer, a number and a shade for each head.
void write_kept(std::ostream& out, Kept const& kept);

/// The same as a picture. Throws std::runtime_error when the file cannot be written.
void draw_kept(std::filesystem::path const& file, Kept const& kept);

}  // namespace frontier
