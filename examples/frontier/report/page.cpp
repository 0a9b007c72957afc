#include "frontier/report/page.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "frontier/analysis/effects.hpp"
#include "frontier/analysis/iso_cost.hpp"
#include "frontier/analysis/retention.hpp"
#include "frontier/report/figures.hpp"
#include "frontier/report/findings.hpp"
#include "frontier/settings.hpp"

namespace frontier {
namespace {

constexpr char kHead[] = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sparse attention on long-context tasks</title><style>
body { font: 15px/1.5 Georgia, serif; color: #111; max-width: 1180px; margin: 2em auto; padding: 0 1em; }
h1, h2, h3 { font-family: Helvetica, Arial, sans-serif; line-height: 1.2; }
h2 { border-bottom: 1px solid #999; margin-top: 2em; }
figure { margin: 1.5em 0; } figure svg { max-width: 100%; height: auto; } figcaption { color: #333; font-size: 14px; }
table { border-collapse: collapse; font: 13px/1.4 Helvetica, Arial, sans-serif; margin: 1em 0; }
th, td { padding: 2px 9px; text-align: right; border-bottom: 1px solid #ddd; } th { border-bottom: 2px solid #555; }
td:first-child, th:first-child { text-align: left; } .weak { color: #777; }
</style></head><body>
)html";

template <class... Values>
std::string format(char const* pattern, Values... values) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

std::string escaped(std::string const& text) {
  std::string result;
  for (char c : text) result += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  return result;
}

class Table {
 public:
  explicit Table(std::vector<std::string> const& heads) { row(heads, "th"); }
  void row(std::vector<std::string> const& cells, char const* tag = "td") {
    text_ += "<tr>";
    for (std::string const& cell : cells) text_ += format("<%s>", tag) + escaped(cell) + format("</%s>", tag);
    text_ += "</tr>\n";
  }
  std::string html() const { return "<table>\n" + text_ + "</table>\n"; }

 private:
  std::string text_;
};

std::string models_table(Grid const& grid) {
  Table table({"model", "parameters", "layers", "hidden", "query / KV heads", "prompts"});
  for (std::string const& model : grid.models()) {
    auto const rows = grid.select({.model = model});
    if (rows.empty()) continue;
    std::int64_t prompts = 0;
    for (ReportRow const* row : rows) prompts += row->method == "dense" ? row->strict.count : 0;
    lacuna::ModelDims const& dims = rows.front()->dims;
    table.row({model, std::to_string(rows.front()->parameters), std::to_string(dims.layers),
               std::to_string(dims.hidden), std::to_string(dims.heads_q) + " / " + std::to_string(dims.heads_kv),
               std::to_string(prompts)});
  }
  return table.html();
}

std::string dense_table(Grid const& grid) {
  std::vector<std::string> heads = {"task"};
  for (std::string const& model : grid.models())
    for (std::int64_t length : grid.lengths({.model = model, .method = "dense"}))
      heads.push_back(model + ", " + std::to_string(length));
  Table table(heads);
  for (std::string const& task : grid.tasks()) {
    std::vector<std::string> cells = {task};
    for (std::string const& model : grid.models())
      for (std::int64_t length : grid.lengths({.model = model, .method = "dense"})) {
        ReportRow const* const row = grid.dense({model, task, length});
        cells.push_back(row == nullptr ? "not run"
                                       : format("%.3f +- %.3f", row->strict.mean, row->strict.standard_error()));
      }
    table.row(cells);
  }
  return table.html();
}

/// Largest retained compression: a column for each model and length, a line for each task.
std::string retention_table(Grid const& grid, std::string const& method) {
  std::vector<Retention> const all = retention(grid, {.method = method});
  if (all.empty()) return "";
  std::map<std::pair<std::string, std::int64_t>, std::vector<Retention>> columns;
  std::vector<std::pair<std::string, std::int64_t>> order;
  for (Retention const& one : all) {
    auto const key = std::pair(one.model, one.length);
    if (!columns.contains(key)) order.push_back(key);
    columns[key].push_back(one);
  }
  std::vector<std::string> heads = {"task"};
  for (auto const& [model, length] : order) heads.push_back(model + ", " + std::to_string(length));
  Table table(heads);
  for (std::string const& task : grid.tasks({.method = method})) {
    std::vector<std::string> cells = {task};
    for (auto const& key : order) {
      std::string cell = "not run";
      for (Retention const& one : columns[key]) {
        if (one.task != task) continue;
        auto const most = [](double value, bool censored) { return format("%.3g", value) + (censored ? "+" : ""); };
        cell = one.most.informative
                   ? most(one.most.prefix, one.most.censored) + " / " + format("%.3g", one.most.paired) + " / " +
                         format("%.3g", one.most.non_inferior) + format(" (%.2f)", one.most.detectable)
                   : "says nothing";
      }
      cells.push_back(cell);
    }
    table.row(cells);
  }
  std::vector<std::string> last = {"mean +- deviation"};
  for (auto const& key : order) {
    RetentionSummary const summary = summarise(columns[key]);
    last.push_back(format("%.1f +- %.1f", summary.mean, summary.deviation));
  }
  table.row(last);
  return "<h3>" + escaped(method) + "</h3>\n" + table.html();
}

std::string iso_table(Grid const& grid, std::string const& method, double batch) {
  if (grid.models().size() < 2 || grid.lengths({.method = method}).empty()) return "";
  std::int64_t const length = grid.lengths({.method = method}).back();
  Table table({"model", "budget", "density", "cost", "of it choosing", "score", "beaten by"});
  for (IsoCostPoint const& point : iso_cost(grid, method, length, batch))
    table.row({point.model, point.method == "dense" ? "dense" : budget_text(point.budget),
               format("%.3f", point.density), format("%.3g", point.cost), format("%.1f %%", 100.0 * point.select_share),
               format("%.3f +- %.3f", point.performance, point.standard_error),
               point.on_frontier ? "nothing" : point.dominated_by});
  return format("<h3>%s, %lld tokens, batch of %.0f</h3>\n", method.c_str(), static_cast<long long>(length), batch) +
         table.html();
}

std::string cost_table(Grid const& grid) {
  Table table({"model", "tokens", "attention in prefill", "scores alone", "prefill at 1/5: exact", "as published",
               "KV in decode, batch 1", "8", "64", "decode at 1/5, batch 1", "8", "64"});
  auto const add = [&](std::string const& name, lacuna::ModelDims const& dims, std::int64_t length) {
    std::array<CostShare, 3> const shares = {cost_share(name, dims, length, 1), cost_share(name, dims, length, 8),
                                             cost_share(name, dims, length, 64)};
    std::vector<std::string> cells = {name,
                                      std::to_string(length),
                                      format("%.3f", shares[0].attention_share),
                                      format("%.3f", shares[0].score_share),
                                      format("%.2fx", shares[0].prefill_speedup),
                                      format("%.2fx", shares[0].published_speedup)};
    for (CostShare const& share : shares) cells.push_back(format("%.3f", share.kv_share));
    for (CostShare const& share : shares) cells.push_back(format("%.2fx", share.decode_speedup));
    table.row(cells);
  };
  for (std::string const& model : grid.models())
    for (std::int64_t length : grid.lengths({.model = model}))
      add(model, grid.select({.model = model}).front()->dims, length);
  for (auto const& [name, dims] : published_models())
    for (std::int64_t length : {16384, 65536, 131072}) add(name, dims, length);
  return table.html();
}

std::string methods_table(Grid const& grid) {
  Table table({"method", "phase", "budget", "density", "score", "n", "without an answer", "longest output", "peak MB"});
  for (char const* phase : {"prefill", "decode"})
    for (std::string const& method : grid.methods(phase))
      for (BudgetPoint const& point : budget_curve(grid, {.method = method})) {
        std::int64_t count = 0, unparsed = 0, longest = 0;
        double peak = 0.0;
        for (ReportRow const* row : grid.select({.method = method})) {
          if (row->budget != point.budget) continue;
          count += row->strict.count;
          unparsed += row->unparsed;
          longest = std::max(longest, row->most_output_tokens);
          peak = std::max(peak, row->peak_bytes);
        }
        table.row({method, phase, budget_text(point.budget), format("%.3f", point.density),
                   format("%.3f +- %.3f", point.mean, point.standard_error), std::to_string(count),
                   std::to_string(unparsed), std::to_string(longest), format("%.1f", peak / 1e6)});
      }
  return table.html();
}

}  // namespace

std::vector<std::string> write_page(std::filesystem::path const& folder, std::vector<Record> const& records,
                                    std::optional<Figure> const& heat_maps) {
  Grid const grid(records);
  std::filesystem::path const pictures = folder / "figures";
  std::error_code error;
  std::filesystem::create_directories(pictures, error);
  if (error) throw std::runtime_error(pictures.string() + ": cannot be made: " + error.message());
  std::vector<std::string> missing;
  std::ostringstream page;
  page << kHead << "<h1>Sparse attention on long-context tasks</h1>\n"
       << "<p>Scores are strict: an answer without a complete answer block counts 0. Densities are measured on what "
          "attention read. Every method sees the same prompts.</p>\n<h2>Findings</h2>\n";
  for (Finding const& finding : findings_of(grid)) {
    page << "<h3>" << escaped(finding.question) << "</h3>\n<ul>\n";
    for (std::string const& sentence : finding.sentences) page << "<li>" << escaped(sentence) << "</li>\n";
    page << "</ul>\n";
  }
  page << "<h2>Models and dense scores</h2>\n" << models_table(grid) << dense_table(grid) << "<h2>Figures</h2>\n";
  std::vector<Figure> figures = figures_of(grid);
  if (heat_maps) figures.push_back(*heat_maps);
  for (Figure const& figure : figures) {
    std::string const svg = draw(pictures, figure);
    if (svg.empty()) missing.push_back(figure.name);
    page << "<figure>" << (svg.empty() ? "<p>gnuplot could not draw this.</p>" : svg) << "<figcaption>"
         << escaped(figure.caption) << "</figcaption></figure>\n";
  }
  page
      << "<h2>Maximum compression without a significant loss</h2>\n<p>Largest compression (1 / budget) at and below "
         "which "
         "no score drops significantly: Welch's test / paired test / shown not to be inferior, each at 5 %. In "
         "brackets "
         "the drop that Welch's test would find with a chance of 80 %: smaller ones may hide. + means that no drop was "
         "found.</p>\n";
  for (char const* phase : {"prefill", "decode"})
    for (std::string const& method : shown_methods(grid, phase))
      if (method.find("random") == std::string::npos && method.find("oracle") == std::string::npos)
        page << retention_table(grid, method);
  std::string const iso = iso_table(grid, "vertical-slash", 1.0) + iso_table(grid, "quest", 64.0);
  if (!iso.empty()) page << "<h2>Equal cost</h2>\n<p>FLOPs of a prompt, and elements that a step reads.</p>\n" << iso;
  page << "<h2>Shares of cost</h2>\n"
       << cost_table(grid) << "<h2>Every method</h2>\n"
       << methods_table(grid) << "</body></html>\n";
  std::ofstream out(folder / "report.html", std::ios::binary);
  out << page.str();
  if (!out.flush()) throw std::runtime_error((folder / "report.html").string() + ": cannot be written");
  return missing;
}

}  // namespace frontier
