#include "frontier/report/figure.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <stdexcept>

namespace frontier {
namespace {

// Colours of Okabe and Ito in an order in which neighbours differ in lightness; marks and dashes differ as well, so
// that no curve depends on its colour.
struct Style {
  char const* colour;
  int mark;
  double size;
  char const* dash;
};
constexpr std::array<Style, 9> kStyles{{{"#0072b2", 7, 1.0, "1"},
                                        {"#e69f00", 5, 1.0, "1"},
                                        {"#009e73", 9, 1.2, "(18,5)"},
                                        {"#cc79a7", 13, 1.3, "4"},
                                        {"#56b4e9", 11, 1.2, "4"},
                                        {"#d55e00", 4, 1.1, "1"},
                                        {"#444444", 6, 1.1, "4"},
                                        {"#999999", 8, 1.2, "2"},
                                        {"#000000", 1, 1.2, "3"}}};

std::string quoted(std::string const& text) { return "\"" + plain(text) + "\""; }

std::string style_of(std::size_t at) {
  Style const& style = kStyles[at % kStyles.size()];
  std::ostringstream text;
  text << " linecolor \"" << style.colour << "\" linewidth 2 dashtype " << style.dash << " pointtype " << style.mark
       << " pointsize " << style.size;
  return text.str();
}

/// Of the bars of errors: thin, solid, without a mark.
std::string bar_style_of(std::size_t at) {
  return std::string(" linecolor \"") + kStyles[at % kStyles.size()].colour + "\" linewidth 1 dashtype 1 pointtype 0";
}

bool run_gnuplot(std::filesystem::path const& script) {
  std::string program = "gnuplot";
  std::string argument = script.string();
  char* const arguments[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawnp(&child, program.c_str(), nullptr, nullptr, arguments, environ) != 0) return false;
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string text_of(std::filesystem::path const& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// How a line without marks is drawn.
std::string line_of(Curve::Kind kind) {
  return kind == Curve::Kind::envelope ? "lines linecolor \"#c8c8c8\" linewidth 9 dashtype 1"
                                       : "lines linecolor \"#000000\" linewidth 1.5 dashtype 2";
}

/// Labels of all panels in the order of their first appearance, those of lines without marks last.
std::vector<std::string> labels_of(std::vector<Panel> const& all) {
  std::vector<std::string> labels;
  for (bool const marks : {true, false})
    for (Panel const& panel : all)
      for (Curve const& curve : panel.curves)
        if ((curve.kind == Curve::Kind::measured) == marks &&
            std::find(labels.begin(), labels.end(), curve.label) == labels.end())
          labels.push_back(curve.label);
  return labels;
}

void write_panel(std::ostream& out, Panel const& panel, std::vector<std::string> const& labels, bool with_key) {
  out << "set title " << quoted(panel.title) << "\nset xlabel " << quoted(panel.x_label) << "\nset ylabel "
      << quoted(panel.y_label) << '\n'
      << panel.settings << '\n'
      << (with_key ? "set key at graph 0.98,0.03 right bottom Left reverse samplen 2 width 0 opaque noautotitle\n"
                   : "unset key\n");
  std::ostringstream plot;
  for (std::size_t c = 0; c < panel.curves.size(); ++c) {
    Curve const& curve = panel.curves[c];
    if (curve.points.empty()) continue;
    out << "$data" << c << " << END\n";
    for (Curve::Point const& point : curve.points) out << point.x << ' ' << point.y << ' ' << point.error << '\n';
    out << "END\n";
    auto const at = static_cast<std::size_t>(std::find(labels.begin(), labels.end(), curve.label) - labels.begin());
    bool const errors =
        std::any_of(curve.points.begin(), curve.points.end(), [](auto const& point) { return point.error > 0.0; });
    std::string const title = with_key ? "title " + quoted(curve.label) : "notitle";
    plot << (plot.tellp() > 0 ? ", \\\n     " : "plot ") << "$data" << c;
    if (curve.kind != Curve::Kind::measured) {
      plot << " using 1:2 with " << line_of(curve.kind) << ' ' << title;
      continue;
    }
    // Bars of their own: yerrorlines would draw them in the line's dashes.
    if (errors) plot << " using 1:2:3 with yerrorbars" << bar_style_of(at) << " notitle, $data" << c;
    plot << " using 1:2 with linespoints" << style_of(at) << ' ' << title;
  }
  out << (plot.tellp() > 0 ? plot.str() : "set label 1 \"not run\" at graph 0.5,0.5 center\nplot NaN notitle")
      << "\nunset label 1\n";
}

/// A plot of nothing that shows what the curves are called.
void write_legend(std::ostream& out, std::vector<Panel> const& all, std::vector<std::string> const& labels, int rows) {
  out << "set key at screen 0.5,screen 0.995 center top horizontal maxrows " << rows
      << " reverse Left samplen 3 width 1\n"
      << "unset border\nunset tics\nunset title\nunset xlabel\nunset ylabel\nset xrange [0:1]\nset yrange [0:1]\n"
      << "unset logscale\nplot ";
  for (std::size_t at = 0; at < labels.size(); ++at) {
    Curve::Kind kind = Curve::Kind::measured;
    for (Panel const& panel : all)
      for (Curve const& curve : panel.curves)
        if (curve.label == labels[at]) kind = curve.kind;
    out << (at > 0 ? ", \\\n     " : "") << "NaN with "
        << (kind == Curve::Kind::measured ? "linespoints" + style_of(at) : line_of(kind)) << " title "
        << quoted(labels[at]);
  }
  out << "\nunset key\n";
}

}  // namespace

char const* const kDensityAxis =
    "set logscale x\nset xtics (\"1/100\" 0.01, \"1/50\" 0.02, \"1/20\" 0.05, \"1/10\" 0.1, \"1/5\" 0.2, \"1/2\" 0.5, "
    "\"1\" 1)\n";
std::string amount_axis(double least, double most) {
  static constexpr std::array<char const*, 6> kLetters{"", "k", "M", "G", "T", "P"};
  double const low = least / 1.25, high = most * 1.25;
  // About five ticks, whatever the range.
  std::vector<int> const digits = high / low < 30.0    ? std::vector{1, 2, 5}
                                  : high / low < 300.0 ? std::vector{1, 3}
                                                       : std::vector{1};
  std::ostringstream text;
  text << "set logscale x\nset xrange [" << low << ':' << high << "]\nset xtics (";
  bool first = true;
  for (int power = static_cast<int>(std::floor(std::log10(low))); std::pow(10.0, power) <= high; ++power)
    for (int digit : digits) {
      double const at = digit * std::pow(10.0, power);
      if (at < low || at > high) continue;
      int const letter = std::clamp(power / 3, 0, static_cast<int>(kLetters.size()) - 1);
      text << (first ? "\"" : ", \"") << digit * std::pow(10.0, power - 3 * letter)
           << kLetters[static_cast<std::size_t>(letter)] << "\" " << at;
      first = false;
    }
  text << ")\n";
  return text.str();
}

char const* const kScoreAxis = "set yrange [-0.04:1.06]\nset ytics 0.2\n";

std::string plain(std::string text) {
  std::replace(text.begin(), text.end(), '_', ' ');
  std::erase_if(text, [](char c) { return c == '"' || c == '\\' || c == '$' || c == '<' || c == '>' || c == '&'; });
  return text;
}

Figure panels(std::string name, std::string caption, std::vector<Panel> const& all, int columns, int panel_width,
              int panel_height, Legend legend_kind) {
  bool const shared = legend_kind == Legend::shared;
  columns = std::max(1, std::min(columns, static_cast<int>(all.size())));
  int const rows = (static_cast<int>(all.size()) + columns - 1) / columns;
  Figure figure{.name = std::move(name), .caption = std::move(caption)};
  if (all.empty()) return figure;
  figure.width = std::max(columns * panel_width, 640);
  std::vector<std::string> const labels = labels_of(all);
  std::size_t widest = 1;
  for (std::string const& label : labels) widest = std::max(widest, label.size());
  int const per_row = std::max(1, figure.width / (70 + 8 * static_cast<int>(widest)));
  int const label_rows = (static_cast<int>(labels.size()) + per_row - 1) / per_row;
  int const legend = shared ? 24 + 20 * label_rows : 0;
  figure.height = legend + rows * panel_height;
  std::ostringstream out;
  out << "set multiplot\n";
  out << "set size 1,1\nset origin 0,0\n";
  if (shared) write_legend(out, all, labels, label_rows);
  for (std::size_t i = 0; i < all.size(); ++i) {
    int const column = static_cast<int>(i) % columns, row = static_cast<int>(i) / columns;
    auto const x = [&](int pixels) { return static_cast<double>(pixels) / figure.width; };
    auto const y = [&](int pixels) { return 1.0 - static_cast<double>(pixels) / figure.height; };
    int const width = figure.width / columns, left = column * width, top = legend + row * panel_height;
    out << "reset\nset border 3\nset tics nomirror\nset grid xtics ytics linecolor \"#dddddd\" linewidth 1\n"
        << "set lmargin at screen " << x(left + 78) << "\nset rmargin at screen " << x(left + width - 18)
        << "\nset tmargin at screen " << y(top + 36) << "\nset bmargin at screen " << y(top + panel_height - 62)
        << '\n';
    write_panel(out, all[i], shared ? labels : labels_of({all[i]}), !shared);
  }
  out << "unset multiplot\n";
  figure.script = out.str();
  return figure;
}

std::string draw(std::filesystem::path const& folder, Figure const& figure) {
  std::filesystem::path const script = folder / (figure.name + ".gp");
  std::ofstream out(script);
  for (std::string const terminal : {"svg", "png"}) {
    bool const svg = terminal == "svg";
    int const scale = svg ? 1 : 2;  // pictures for print have twice the pixels
    out << "reset\nset terminal " << (svg ? "svg" : "pngcairo") << " size " << scale * figure.width << ','
        << scale * figure.height
        << (svg ? " font \"Helvetica,13\" background \"white\" name \"" + figure.name + "\""
                : std::string(" font \"Sans,11\" fontscale 1.9 linewidth 1.8 pointscale 1.8"))
        << " noenhanced\nset output \"" << (folder / (figure.name + "." + terminal)).string() << "\"\n"
        << figure.script << "unset output\n";
  }
  if (!out.flush()) throw std::runtime_error(script.string() + ": cannot be written");
  out.close();
  if (!run_gnuplot(script)) return {};
  std::string const svg = text_of(folder / (figure.name + ".svg"));
  std::size_t const begin = svg.find("<svg");
  return begin == std::string::npos ? std::string() : svg.substr(begin);
}

}  // namespace frontier
