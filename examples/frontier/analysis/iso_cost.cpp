#include "frontier/analysis/iso_cost.hpp"

#include <algorithm>
#include <cmath>

#include "frontier/settings.hpp"

namespace frontier {
namespace {

/// Tasks that all points of all models have.
std::vector<std::string> common_tasks(Grid const& grid, std::string const& method, std::int64_t length) {
  std::vector<std::string> common;
  for (std::string const& task : grid.tasks({.length = length, .method = method})) {
    bool everywhere = true;
    for (std::string const& model : grid.models()) {
      auto const all = grid.budgets({.model = model, .length = length, .method = method});
      auto const here = grid.budgets({.model = model, .task = task, .length = length, .method = method});
      everywhere = everywhere && (all.empty() || (all == here && grid.dense({model, task, length}) != nullptr));
    }
    if (everywhere) common.push_back(task);
  }
  return common;
}

std::optional<IsoCostPoint> point_of(Grid const& grid, std::string const& model, std::string const& method,
                                     double budget, std::int64_t length, std::vector<std::string> const& tasks,
                                     bool prefill, double batch) {
  IsoCostPoint point{.model = model, .method = method, .budget = budget, .density = 0.0};
  double select = 0.0, variance = 0.0;
  for (ReportRow const* row : grid.select({.model = model, .length = length, .method = method})) {
    if (row->budget != budget || std::find(tasks.begin(), tasks.end(), row->task) == tasks.end()) continue;
    ++point.tasks;
    point.parameters = row->parameters;
    point.density += row->density;
    point.cost += prefill ? row->cost.prefill_flops : row->cost.step_reads(batch);
    select += prefill ? row->cost.prefill_select_flops : row->cost.select_reads;
    point.performance += row->strict.mean;
    variance += row->strict.standard_error() * row->strict.standard_error();
  }
  if (point.tasks == 0) return std::nullopt;
  auto const count = static_cast<double>(point.tasks);
  point.select_share = select / point.cost;
  point.density /= count;
  point.cost /= count;
  point.performance /= count;
  point.standard_error = std::sqrt(variance) / count;
  return point;
}

bool dominates(IsoCostPoint const& a, IsoCostPoint const& b) {
  return a.cost <= b.cost && a.performance >= b.performance && (a.cost < b.cost || a.performance > b.performance);
}

}  // namespace

void mark_frontier(std::vector<IsoCostPoint>& points) {
  std::stable_sort(points.begin(), points.end(), [](auto const& a, auto const& b) {
    return a.cost < b.cost || (a.cost == b.cost && a.performance > b.performance);
  });
  IsoCostPoint const* best = nullptr;
  for (IsoCostPoint& point : points) {
    point.on_frontier = best == nullptr || point.performance > best->performance;
    if (point.on_frontier)
      best = &point;
    else
      point.dominated_by = best->model + " " + best->method + " " + budget_text(best->budget);
  }
}

std::vector<IsoCostPoint> iso_cost(Grid const& grid, std::string const& method, std::int64_t length, double batch) {
  std::vector<IsoCostPoint> points;
  auto const rows = grid.select({.length = length, .method = method});
  if (rows.empty()) return points;
  bool const prefill = rows.front()->phase == "prefill";
  std::vector<std::string> const tasks = common_tasks(grid, method, length);
  for (std::string const& model : grid.models()) {
    std::vector<double> const budgets = grid.budgets({.model = model, .length = length, .method = method});
    if (budgets.empty()) continue;
    if (auto point = point_of(grid, model, "dense", 1.0, length, tasks, prefill, batch)) points.push_back(*point);
    for (double budget : budgets)
      if (auto point = point_of(grid, model, method, budget, length, tasks, prefill, batch)) points.push_back(*point);
  }
  mark_frontier(points);
  return points;
}

std::optional<std::int64_t> crossover_length(Grid const& grid, std::string const& method, double batch) {
  for (std::int64_t length : grid.lengths({.method = method})) {
    std::vector<IsoCostPoint> const points = iso_cost(grid, method, length, batch);
    for (IsoCostPoint const& small : points)
      for (IsoCostPoint const& large : points)
        if (small.method == "dense" && large.method != "dense" && large.parameters > small.parameters &&
            dominates(large, small))
          return length;
  }
  return std::nullopt;
}

CostShare cost_share(std::string const& model, lacuna::ModelDims const& dims, std::int64_t length, std::int64_t batch) {
  using lacuna::Accounting;
  lacuna::PrefillFlops const prompt = lacuna::prefill_flops(dims, length);
  lacuna::DecodeReads const step = lacuna::decode_reads(dims, length, batch);
  return {.model = model,
          .length = length,
          .batch = batch,
          .attention_share = prompt.attention() / prompt.total(),
          .score_share = prompt.scores / prompt.total(),
          .kv_share = step.kv / step.total(),
          .prefill_speedup = prompt.total() / lacuna::prefill_flops(dims, length, 0.2).total(),
          .published_speedup = prompt.total() / lacuna::prefill_flops(dims, length, 0.2, Accounting::published).total(),
          .decode_speedup = step.total() / lacuna::decode_reads(dims, length, batch, 0.2).total()};
}

std::vector<std::pair<std::string, lacuna::ModelDims>> published_models() {
  return {{"Qwen 2.5 7B", {28, 28, 4, 128, 3584, 18944, 152064}},
          {"Qwen 2.5 14B", {48, 40, 8, 128, 5120, 13824, 152064}},
          {"Qwen 2.5 32B", {64, 40, 8, 128, 5120, 27648, 152064}},
          {"Qwen 2.5 72B", {80, 64, 8, 128, 8192, 29568, 152064}},
          {"Gemma 3 12B", {48, 16, 8, 256, 3840, 15360, 262208, 40, 1024}}};
}

}  // namespace frontier
