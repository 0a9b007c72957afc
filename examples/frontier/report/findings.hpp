#pragma once

#include <string>
#include <vector>

#include "frontier/analysis/grid.hpp"

namespace frontier {

/// What the numbers say about one question, in sentences that are made from them. Nothing is said about what was not
/// run.
struct Finding {
  std::string question;
  std::vector<std::string> sentences;
};

std::vector<Finding> findings_of(Grid const& grid);

}  // namespace frontier
