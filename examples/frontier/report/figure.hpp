#pragma once

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

namespace frontier {

/// A picture that gnuplot draws. Commands that set the terminal and the output are not part of the script.
struct Figure {
  std::string name;     // of its files, and of its ids in a page that holds several
  std::string caption;  // a sentence or two for the page
  int width = 0;        // pixels
  int height = 0;
  std::string script = {};
};

/// One curve: label, points of x, y and the error of y (0: none).
struct Curve {
  std::string label = {};
  struct Point {
    double x, y, error;
  };
  std::vector<Point> points = {};
  enum class Kind { measured, baseline, envelope };  // marks and bars; a dashed line; a broad pale line beneath others
  Kind kind = Kind::measured;
};

struct Panel {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Curve> curves;
  std::string settings;  // gnuplot commands before the plot: ranges, scales, tics
};

/// Once above all panels, where a label has the same colour, line and mark in every one; or in each panel its own,
/// where the panels are about different things.
enum class Legend { shared, each };

/// Panels in rows from left to right. Without panels there is no script.
Figure panels(std::string name, std::string caption, std::vector<Panel> const& all, int columns, int panel_width = 360,
              int panel_height = 300, Legend legend = Legend::shared);

/// Settings for an axis of densities, and for one of scores.
extern char const* const kDensityAxis;
extern char const* const kScoreAxis;

/// Settings for a logarithmic axis of amounts over [least, most]: round ticks with the units' letters.
std::string amount_axis(double least, double most);

/// Writes folder/NAME.gp and has gnuplot draw folder/NAME.svg and folder/NAME.png. Returns the SVG element as a page
/// can hold it; empty where gnuplot could not. Throws std::runtime_error when the script cannot be written.
std::string draw(std::filesystem::path const& folder, Figure const& figure);

/// Text without what gnuplot or a page would take for more than text.
std::string plain(std::string text);

}  // namespace frontier
