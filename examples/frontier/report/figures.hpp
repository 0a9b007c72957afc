#pragma once

#include <string>
#include <vector>

#include "frontier/analysis/grid.hpp"
#include "frontier/report/figure.hpp"

namespace frontier {

/// The methods of a phase that figures show, at most seven: those of the study first, variants left out.
std::vector<std::string> shown_methods(Grid const& grid, std::string const& phase);

/// Those of them that were run wherever any method of the phase was: means over models, lengths and tasks may only be
/// compared between such.
std::vector<std::string> complete_methods(Grid const& grid, std::string const& phase);

/// Every figure for which there are records, in the order of the page.
std::vector<Figure> figures_of(Grid const& grid);

/// Methods with settings, grouped by what was set: "quest" and "unit" for "quest:unit=32".
struct Ablation {
  std::string method;
  std::string setting;
  std::vector<std::string> variants;  // the one without a setting first, if it was run
};
std::vector<Ablation> ablations_of(Grid const& grid);

}  // namespace frontier
