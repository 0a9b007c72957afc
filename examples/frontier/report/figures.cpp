#include "frontier/report/figures.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>

#include "frontier/analysis/effects.hpp"
#include "frontier/analysis/iso_cost.hpp"

namespace frontier {
namespace {

constexpr std::array<char const*, 2> kPhases{"prefill", "decode"};
constexpr std::size_t kMostMethods = 7;
constexpr char kDensity[] = "share of dense attention";

std::string density_axis(double least) {
  return std::string(kDensityAxis) + "set xrange [" + std::to_string(std::min(0.045, 0.85 * least)) + ":1.15]\n";
}

Curve curve_of(std::string label, std::vector<BudgetPoint> const& points) {
  Curve curve{.label = std::move(label)};
  for (BudgetPoint const& point : points) curve.points.push_back({point.density, point.mean, point.standard_error});
  return curve;
}

/// Budgets that were run in every cell that any was: a budget of one length or one task would stand beside means over
/// all.
std::vector<BudgetPoint> complete_curve(Grid const& grid, Where const& where) {
  std::vector<BudgetPoint> points = budget_curve(grid, where);
  std::int64_t most = 0;
  for (BudgetPoint const& point : points) most = std::max(most, point.cells);
  std::erase_if(points, [&](BudgetPoint const& point) { return point.cells < most; });
  return points;
}

Curve level(std::string label, double y, double from = 0.03, double to = 1.1) {
  return {.label = std::move(label), .points = {{from, y, 0.0}, {to, y, 0.0}}, .kind = Curve::Kind::baseline};
}

double mean_dense(Grid const& grid, Where const& where) {
  auto const points = budget_curve(grid, {where.model, where.task, where.length, "dense", where.turn, where.turns});
  return points.empty() ? 0.0 : points.front().mean;
}

double least_density(std::vector<Curve> const& curves) {
  double least = 1.0;
  for (Curve const& curve : curves)
    if (curve.kind == Curve::Kind::measured)
      for (Curve::Point const& point : curve.points) least = std::min(least, point.x);
  return least;
}

Panel score_panel(std::string title, std::vector<Curve> curves) {
  std::string const settings = density_axis(least_density(curves)) + kScoreAxis;
  return {std::move(title), kDensity, "score", std::move(curves), settings};
}

Figure frontier_figure(Grid const& grid, std::string const& phase) {
  std::vector<Panel> all;
  std::string const model = grid.models().back();
  for (std::int64_t length : grid.lengths({.model = model})) {
    std::vector<Curve> curves;
    for (std::string const& method : shown_methods(grid, phase)) {
      auto const points = complete_curve(grid, {model, "", length, method});
      if (!points.empty()) curves.push_back(curve_of(method, points));
    }
    if (curves.empty()) continue;
    curves.push_back(level("dense", mean_dense(grid, {model, "", length})));
    all.push_back(score_panel(phase + ", " + std::to_string(length) + " tokens", std::move(curves)));
  }
  return panels("frontier_" + phase,
                "Mean score of all tasks against the measured share of dense attention, methods of " + phase +
                    ", model " + model + ". Bars are standard errors over prompts.",
                all, 3);
}

Figure task_figure(Grid const& grid, std::string const& phase) {
  std::vector<Panel> all;
  for (std::string const& task : grid.tasks()) {
    std::vector<Curve> curves;
    for (std::string const& method : complete_methods(grid, phase)) {
      auto const points = complete_curve(grid, {.task = task, .method = method});
      if (!points.empty()) curves.push_back(curve_of(method, points));
    }
    curves.push_back(level("dense", mean_dense(grid, {.task = task})));
    all.push_back(score_panel(task, std::move(curves)));
  }
  return panels("tasks_" + phase,
                "Score of each task under methods of " + phase +
                    ", mean over models and lengths. Bars are standard errors over prompts.",
                all, 3);
}

Figure iso_figure(Grid const& grid, std::string const& method, std::string const& phase, double batch) {
  std::vector<Panel> all;
  for (std::int64_t length : grid.lengths({.method = method})) {
    auto const points = iso_cost(grid, method, length, batch);
    if (points.empty()) continue;
    Curve best{.label = "frontier", .points = {}, .kind = Curve::Kind::envelope};
    for (IsoCostPoint const& point : points)
      if (point.on_frontier) best.points.push_back({point.cost, point.performance, 0.0});
    std::vector<Curve> curves = {std::move(best)};  // first, so that it lies beneath
    for (std::string const& model : grid.models()) {
      Curve curve{.label = model};
      for (IsoCostPoint const& point : points)
        if (point.model == model) curve.points.push_back({point.cost, point.performance, point.standard_error});
      if (!curve.points.empty()) curves.push_back(std::move(curve));
    }
    bool const prompt = phase == "prefill";
    all.push_back({method + ", " + std::to_string(length) + " tokens",
                   prompt ? "FLOPs of a prompt" : "elements read by a step, per sequence", "mean score of all tasks",
                   std::move(curves), amount_axis(points.front().cost, points.back().cost) + kScoreAxis});
  }
  return panels(
      "iso_cost_" + phase,
      "Models and densities by modelled cost (" +
          std::string(phase == "prefill" ? "prefill" : "decode, batch of " + std::to_string(static_cast<int>(batch))) +
          "). The right end of a model's line is dense. The broad pale line joins what nothing cheaper beats.",
      all, 3);
}

/// Relative error by density, a line for each length or each model.
Figure error_figure(Grid const& grid, std::string const& what,
                    std::vector<std::pair<std::string, Where>> const& lines) {
  std::vector<Panel> all;
  for (std::string const phase : kPhases) {
    std::vector<Curve> curves;
    for (auto const& [label, where] : lines) {
      Curve curve{.label = label};
      for (ErrorPoint const& point :
           error_line(grid, where, complete_methods(grid, phase), {0.055, 0.075, 0.1, 0.15, 0.2, 0.33, 0.5}))
        curve.points.push_back({point.density, point.relative(), 0.0});
      if (!curve.points.empty()) curves.push_back(std::move(curve));
    }
    if (curves.empty()) continue;
    std::string const settings = density_axis(least_density(curves)) + "set yrange [-0.05:*]\n";
    all.push_back({phase, kDensity, "relative error", std::move(curves), settings});
  }
  return panels(
      "error_by_" + what,
      "Relative error against dense, 1 - mean sparse score / mean dense score over tasks and the methods shown "
      "above, one line for each " +
          what + ".",
      all, 2, 440, 300);
}

std::string unit_of(Ablation const& ablation) {
  bool const percent = ablation.setting == "floor" && ablation.method == "ada-snapkv";
  return percent ? " (% of the mean)" : ablation.setting == "window" ? " (queries)" : " (tokens)";
}

Figure ablation_figure(Grid const& grid) {
  std::vector<Panel> all;
  std::string about;
  for (Ablation const& ablation : ablations_of(grid)) {
    // The variants were run with one model, at some budgets alone: the unset method is shown there.
    ReportRow const& set = *grid.select({.method = ablation.variants.back()}).front();
    Where where{.model = set.model, .length = set.length, .method = ablation.variants.back()};
    std::vector<double> const budgets = grid.budgets(where);
    std::vector<Curve> curves;
    for (std::string const& variant : ablation.variants) {
      std::size_t const equals = variant.find('=');
      std::string const label = equals == std::string::npos ? "by length" : variant.substr(equals + 1);
      where.method = variant;
      auto points = complete_curve(grid, where);
      std::erase_if(points, [&](BudgetPoint const& point) {
        return std::find(budgets.begin(), budgets.end(), point.budget) == budgets.end();
      });
      if (!points.empty()) curves.push_back(curve_of(label, points));
    }
    about = set.model + ", " + std::to_string(set.length) + " tokens";
    all.push_back(score_panel(ablation.method + ", " + ablation.setting + unit_of(ablation), std::move(curves)));
  }
  return panels("ablations",
                "Mean score of all tasks for other settings of the methods, " + about +
                    ". The legends give the setting's value; \"by length\" is what the length of the prompt gives it.",
                all, 3, 360, 300, Legend::each);
}

Figure time_figure(Grid const& grid) {
  std::vector<Panel> all;
  std::string const model = grid.models().back();
  std::int64_t const length = grid.lengths({.model = model}).back();
  for (std::string const phase : kPhases) {
    bool const prompt = phase == "prefill";
    auto const seconds = [&](ReportRow const& row) {
      return prompt ? row.prefill_seconds : row.attend_seconds / std::max(row.output_tokens, 1.0);
    };
    std::vector<Curve> curves;
    for (std::string const& method : shown_methods(grid, phase)) {
      Curve curve{.label = method};
      for (BudgetPoint const& point : complete_curve(grid, {model, "", length, method})) {
        double sparse = 0.0, dense = 0.0;
        for (ReportRow const* row : grid.select({model, "", length, method}))
          if (row->budget == point.budget)
            if (ReportRow const* whole = grid.dense_of(*row)) sparse += seconds(*row), dense += seconds(*whole);
        if (dense > 0.0) curve.points.push_back({point.density, sparse / dense, 0.0});
      }
      if (!curve.points.empty()) curves.push_back(std::move(curve));
    }
    if (curves.empty()) continue;
    curves.push_back(level("dense", 1.0));
    std::string const settings = density_axis(least_density(curves)) + "set yrange [0:1.1<*]\n";
    all.push_back({phase + (prompt ? ", whole prompt" : ", attention of a step"), kDensity, "time / time of dense",
                   std::move(curves), settings});
  }
  return panels("time",
                "Measured time against density at " + std::to_string(length) + " tokens, model " + model +
                    ", relative to dense. Prefill: everything from the first token to the first answer token. Decode: "
                    "remembering, selecting and attending of a step.",
                all, 2, 440, 300);
}

}  // namespace

std::vector<std::string> shown_methods(Grid const& grid, std::string const& phase) {
  static constexpr std::array<char const*, 24> kFirst{
      "vertical-slash", "flexprefill",  "block-sparse", "snapkv",     "ada-snapkv",  "quest",
      "streaming",      "block-random", "block-oracle", "xattention", "sparge",      "h2o",
      "quest-random",   "quest-oracle", "twilight",     "tova",       "quest-top-p", "streaming-decode"};
  std::vector<std::string> const run = grid.methods(phase);
  std::vector<std::string> shown;
  for (char const* name : kFirst)
    if (name != nullptr && std::find(run.begin(), run.end(), name) != run.end()) shown.emplace_back(name);
  for (std::string const& name : run)
    if (name.find(':') == std::string::npos && std::find(shown.begin(), shown.end(), name) == shown.end())
      shown.push_back(name);
  shown.resize(std::min(shown.size(), kMostMethods));
  return shown;
}

std::vector<std::string> complete_methods(Grid const& grid, std::string const& phase) {
  auto const cells = [&](std::string const& method) {
    std::set<std::tuple<std::string, std::string, std::int64_t>> found;
    for (ReportRow const* row : grid.select({.method = method})) found.insert({row->model, row->task, row->length});
    return found.size();
  };
  std::size_t most = 0;
  std::vector<std::string> methods = shown_methods(grid, phase);
  for (std::string const& method : methods) most = std::max(most, cells(method));
  std::erase_if(methods, [&](std::string const& method) { return cells(method) < most; });
  return methods;
}

std::vector<Ablation> ablations_of(Grid const& grid) {
  std::vector<Ablation> found;
  std::vector<std::string> const run = grid.methods();
  for (std::string const& name : run) {
    std::size_t const colon = name.find(':'), equals = name.find('=');
    if (colon == std::string::npos || name.find(':', colon + 1) != std::string::npos) continue;
    std::string const method = name.substr(0, colon), setting = name.substr(colon + 1, equals - colon - 1);
    auto at = std::find_if(found.begin(), found.end(),
                           [&](Ablation const& one) { return one.method == method && one.setting == setting; });
    if (at == found.end()) {
      at = found.insert(found.end(), {method, setting, {}});
      if (std::find(run.begin(), run.end(), method) != run.end()) at->variants.push_back(method);
    }
    at->variants.push_back(name);
  }
  auto const value = [](std::string const& name) {
    std::size_t const equals = name.find('=');
    return equals == std::string::npos ? -1 : std::stoi(name.substr(equals + 1));
  };
  for (Ablation& one : found)
    std::sort(one.variants.begin(), one.variants.end(),
              [&](auto const& a, auto const& b) { return value(a) < value(b); });
  return found;
}

std::vector<Figure> figures_of(Grid const& grid) {
  std::vector<Figure> figures;
  if (grid.models().empty()) return figures;
  for (char const* phase : kPhases)
    if (!grid.methods(phase).empty()) figures.push_back(frontier_figure(grid, phase));
  if (!grid.methods("prefill").empty()) figures.push_back(task_figure(grid, "prefill"));
  if (!grid.methods("decode").empty()) figures.push_back(task_figure(grid, "decode"));
  for (auto const& [method, phase] : {std::pair("vertical-slash", "prefill"), std::pair("quest", "decode")})
    if (grid.models().size() > 1 && !grid.lengths({.method = method}).empty())
      figures.push_back(iso_figure(grid, method, phase, 64.0));
  std::vector<std::pair<std::string, Where>> lengths, models;
  for (std::int64_t length : grid.lengths())
    lengths.push_back({std::to_string(length) + " tokens", {.length = length}});
  for (std::string const& model : grid.models()) models.push_back({model, {.model = model}});
  if (lengths.size() > 1) figures.push_back(error_figure(grid, "length", lengths));
  if (models.size() > 1) figures.push_back(error_figure(grid, "size", models));
  if (!ablations_of(grid).empty()) figures.push_back(ablation_figure(grid));
  figures.push_back(time_figure(grid));
  std::erase_if(figures, [](Figure const& figure) { return figure.script.empty(); });  // was anything of it measured?
  return figures;
}

}  // namespace frontier
