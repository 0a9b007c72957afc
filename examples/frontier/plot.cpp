#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "frontier/report.hpp"

namespace frontier {
namespace {

std::string text_for_gnuplot(std::string text) {
  std::replace(text.begin(), text.end(), '_', ' ');
  std::erase_if(text, [](char c) { return c == '"' || c == '\\' || c == '$'; });
  return text;
}

template <class Value>
std::vector<Value> distinct(std::vector<ReportRow> const& rows, Value ReportRow::*member) {
  std::vector<Value> values;
  for (ReportRow const& row : rows)
    if (std::find(values.begin(), values.end(), row.*member) == values.end()) values.push_back(row.*member);
  return values;
}

/// The rows of one curve; the baseline is the one that has a single row at budget 1.
std::vector<ReportRow> curve(std::vector<ReportRow> const& rows, std::string const& task, std::int64_t length,
                             std::string const& method) {
  std::vector<ReportRow> points;
  for (ReportRow const& row : rows)
    if (row.task == task && row.length == length && row.method == method) points.push_back(row);
  std::sort(points.begin(), points.end(), [](auto const& a, auto const& b) { return a.density < b.density; });
  return points;
}

void write_panel(std::ostream& out, std::vector<ReportRow> const& rows, std::string const& task, std::int64_t length,
                 std::vector<std::string> const& methods) {
  std::ostringstream curves;
  for (std::size_t m = 0; m < methods.size(); ++m) {
    std::vector<ReportRow> const points = curve(rows, task, length, methods[m]);
    if (points.empty()) continue;
    std::string const title = " title \"" + text_for_gnuplot(methods[m]) + "\"";
    curves << (curves.tellp() > 0 ? ", \\\n     " : "plot ");
    if (methods[m] == "dense") {
      curves << points.front().strict.mean << " with lines linestyle 100" << title;
      continue;
    }
    out << "$curve" << m << " << END\n";
    for (ReportRow const& point : points)
      out << point.density << ' ' << point.strict.mean << ' ' << point.strict.standard_error() << '\n';
    out << "END\n";
    curves << "$curve" << m << " using 1:2:3 with yerrorlines linestyle " << m + 1 << title;
  }
  out << "set title \"" << text_for_gnuplot(task) << ", " << length << " tokens\"\n" << curves.str() << "\n";
}

// Open shapes first and small full ones later, so that curves that meet at the top stay apart.
constexpr char kStyle[] = R"gnuplot(set logscale x
set yrange [-0.05:1.08]
set xtics ("1/200" 0.005, "1/100" 0.01, "1/50" 0.02, "1/20" 0.05, "1/10" 0.1, "1/5" 0.2, "1/2" 0.5, "1" 1)
set ytics 0.2
set grid xtics ytics linecolor "#dddddd" linewidth 1
set border 3
set tics nomirror
set key at screen 0.5,0.99 center top vertical maxrows 1 reverse Left samplen 2 width 2
set style line 1 linecolor "#0072b2" linewidth 2 pointtype 6 pointsize 1.6
set style line 2 linecolor "#d55e00" linewidth 2 pointtype 4 pointsize 1.7
set style line 3 linecolor "#009e73" linewidth 2 pointtype 8 pointsize 1.5
set style line 4 linecolor "#cc79a7" linewidth 2 pointtype 13 pointsize 1.0
set style line 5 linecolor "#56b4e9" linewidth 2 pointtype 11 pointsize 1.2
set style line 6 linecolor "#e69f00" linewidth 2 pointtype 65 pointsize 1.1
set style line 7 linecolor "#666666" linewidth 2 pointtype 64 pointsize 1.0
set style line 100 linecolor "#000000" linewidth 1.5 dashtype 2
set xlabel "measured density (share of dense attention)"
set ylabel "score"
)gnuplot";

bool run_gnuplot(std::filesystem::path const& script) {
  std::string program = "gnuplot";
  std::string argument = script.string();
  char* const arguments[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawnp(&child, program.c_str(), nullptr, nullptr, arguments, environ) != 0) return false;
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

bool draw_frontier(std::filesystem::path const& folder, std::vector<ReportRow> const& rows) {
  std::vector<std::string> const tasks = distinct(rows, &ReportRow::task);
  std::vector<std::int64_t> const lengths = distinct(rows, &ReportRow::length);
  std::vector<std::string> const methods = distinct(rows, &ReportRow::method);
  std::filesystem::path const script = folder / "frontier.gp";
  std::ofstream out(script);
  double least_density = 0.05;
  for (ReportRow const& row : rows) least_density = std::min(least_density, row.density);
  // In pixels: one legend above all panels, room for the labels below and left of each.
  double const width =
      std::max(60.0 + 430.0 * static_cast<double>(tasks.size()), 190.0 * static_cast<double>(methods.size()));
  double const height = 50.0 + 340.0 * static_cast<double>(lengths.size());
  std::ostringstream layout;
  layout << "set multiplot layout " << lengths.size() << ',' << tasks.size() << " margins " << 80 / width << ','
         << 1 - 20 / width << ',' << 55 / height << ',' << 1 - 75 / height << " spacing " << 80 / width << ','
         << 95 / height << "\n";
  for (std::string const terminal : {"svg", "png"}) {
    out << "reset\nset terminal " << (terminal == "svg" ? "svg" : "pngcairo") << " size " << width << ',' << height
        << (terminal == "svg" ? " font \"Helvetica,13\" background \"white\"" : " font \"Sans,11\"") << " noenhanced\n"
        << "set output \"" << (folder / ("frontier." + terminal)).string() << "\"\n"
        << kStyle << "set xrange [" << 0.8 * least_density << ":1.1]\n"
        << layout.str();
    for (std::int64_t length : lengths) {
      for (std::string const& task : tasks) {
        write_panel(out, rows, task, length, methods);
        out << "unset key\n";
      }
    }
    out << "unset multiplot\nunset output\n";
  }
  if (!out.flush()) throw std::runtime_error(script.string() + ": cannot be written");
  out.close();
  return run_gnuplot(script);
}

}  // namespace frontier
