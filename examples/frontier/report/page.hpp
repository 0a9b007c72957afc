#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "frontier/records.hpp"
#include "frontier/report/figure.hpp"

namespace frontier {

/// Writes folder/report.html, which needs nothing else to be read, and folder/figures with the same figures as SVG, PNG
/// and gnuplot scripts. `heat_maps` is a figure that needs more than records. Returns the names of figures that gnuplot
/// could not draw. Throws std::runtime_error when something cannot be written.
std::vector<std::string> write_page(std::filesystem::path const& folder, std::vector<Record> const& records,
                                    std::optional<Figure> const& heat_maps = std::nullopt);

}  // namespace frontier
