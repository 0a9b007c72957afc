#include "frontier/analysis/interaction.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "frontier/analysis/significance.hpp"
#include "transformer/eigen.hpp"

namespace frontier {
namespace {

double clipped_logit(std::vector<double> const& scores) {
  Summary const summary = summarise(scores);
  double const half = 0.5 / static_cast<double>(std::max<std::int64_t>(summary.count, 1));
  double const p = std::clamp(summary.mean, half, 1.0 - half);
  return std::log(p / (1.0 - p));
}

ReportRow const* partner(Grid const& grid, ReportRow const& row, std::string const& method) {
  for (ReportRow const* other : grid.select({row.model, row.task, row.length, method, row.turn, row.turns}))
    if (other->budget == row.budget) return other;
  return nullptr;
}

/// Mean over cells at each budget: bytes, score. Only cells that the other method has too.
std::map<double, std::pair<double, double>> by_bytes(Grid const& grid, Where const& where, std::string const& other) {
  std::map<double, std::pair<double, double>> sums;  // by budget
  std::map<double, double> counts;
  for (ReportRow const* row : grid.select(where)) {
    if (grid.select({row->model, row->task, row->length, other, row->turn, row->turns}).empty()) continue;
    double const bytes = row->cost.kv_bytes * row->cost.kv_reads + 2.0 * row->cost.select_reads;
    sums[row->budget].first += bytes;
    sums[row->budget].second += row->strict.mean;
    counts[row->budget] += 1.0;
  }
  for (auto& [budget, sum] : sums) {
    sum.first /= counts[budget];
    sum.second /= counts[budget];
  }
  return sums;
}

double axis_of(LawCell const& cell, std::string const& axis) {
  return axis == "length" ? cell.length : axis == "size" ? cell.parameters : cell.compression;
}

LawCell without_compression(LawCell cell) {
  cell.compression = 1.0;
  return cell;
}

HeldOutLaw held_out_law(std::string const& axis, std::vector<LawCell> const& fitted,
                        std::vector<LawCell> const& held_out, double clip) {
  HeldOutLaw result{.axis = axis, .law = fit_scaling_law(fitted, clip)};
  std::vector<LawCell> plain;
  for (LawCell const& cell : fitted) plain.push_back(without_compression(cell));
  ScalingLaw const blind = fit_scaling_law(plain, clip);
  result.all = validate(result.law, held_out);
  for (std::string const& task : result.law.tasks) {
    HeldOutLaw::TaskFit fit{.task = task};
    std::vector<LawCell> cells;
    double mean = 0.0, count = 0.0;
    for (LawCell const& cell : fitted)
      if (cell.task == task) mean += cell.accuracy, count += 1.0;
    for (LawCell const& cell : held_out)
      if (cell.task == task) cells.push_back(cell);
    if (cells.empty()) continue;
    for (LawCell const& cell : cells) {
      auto const share = 1.0 / static_cast<double>(cells.size());
      fit.baseline_error += share * std::abs(cell.accuracy - mean / count);
      fit.without_compression += share * std::abs(cell.accuracy - blind.predict(without_compression(cell)));
    }
    fit.validation = validate(result.law, cells);
    result.tasks.push_back(std::move(fit));
  }
  return result;
}

}  // namespace

Interaction fit_interaction(Grid const& grid, Where where, std::string const& full, std::string const& quantised) {
  where.method = full;
  struct Line {
    std::string cell;
    double compression, quantised, logit;
  };
  std::vector<Line> lines;
  std::vector<std::string> cells;
  for (ReportRow const* row : grid.select(where)) {
    ReportRow const* const other = partner(grid, *row, quantised);
    if (other == nullptr) continue;
    std::string const cell = row->model + row->task + std::to_string(row->length);
    if (std::find(cells.begin(), cells.end(), cell) == cells.end()) cells.push_back(cell);
    Paired const pairs = pair_up(*row, *other);
    lines.push_back({cell, -std::log(row->budget), 0.0, clipped_logit(pairs.first)});
    lines.push_back({cell, -std::log(row->budget), 1.0, clipped_logit(pairs.second)});
  }
  auto const rows = static_cast<Eigen::Index>(lines.size()), offsets = static_cast<Eigen::Index>(cells.size());
  if (rows <= offsets + 3) throw std::invalid_argument("interaction: fewer cells than coefficients");
  Eigen::MatrixXd terms = Eigen::MatrixXd::Zero(rows, offsets + 3);
  Eigen::VectorXd logits(rows);
  for (Eigen::Index i = 0; i < rows; ++i) {
    Line const& line = lines[static_cast<std::size_t>(i)];
    terms(i, std::find(cells.begin(), cells.end(), line.cell) - cells.begin()) = 1.0;
    terms.row(i).tail<3>() << line.compression, line.quantised, line.compression * line.quantised;
    logits[i] = line.logit;
  }
  Eigen::ColPivHouseholderQR<Eigen::MatrixXd> const qr(terms);
  if (qr.rank() < terms.cols()) throw std::invalid_argument("interaction: at least two budgets are needed");
  Eigen::VectorXd const solution = qr.solve(logits);
  double const freedom = static_cast<double>(rows - terms.cols());
  double const spread = (logits - terms * solution).squaredNorm() / freedom;
  Eigen::VectorXd const errors = (spread * (terms.transpose() * terms).inverse().diagonal()).cwiseMax(0.0).cwiseSqrt();
  Interaction result;
  result.cells = rows;
  ScalingLaw::Coefficient* const coefficients[] = {&result.sparsity, &result.quantised, &result.both};
  for (Eigen::Index i = 0; i < 3; ++i) {
    coefficients[i]->value = solution[offsets + i];
    coefficients[i]->error = errors[offsets + i];
  }
  if (result.both.error > 0.0) result.p = 2.0 * student_tail(std::abs(result.both.value / result.both.error), freedom);
  return result;
}

std::vector<ByteBalance> balance_bytes(Grid const& grid, Where where, std::string const& full,
                                       std::string const& quantised) {
  where.method = full;
  std::map<double, double> curve;  // score by bytes
  for (auto const& [budget, point] : by_bytes(grid, where, quantised)) curve[point.first] = point.second;
  std::vector<double> bytes, scores;
  for (auto const& [at, score] : curve) bytes.push_back(at), scores.push_back(score);
  where.method = quantised;
  std::vector<ByteBalance> found;
  for (auto const& [budget, point] : by_bytes(grid, where, full))
    if (auto const score = interpolate(bytes, scores, point.first))
      found.push_back({point.first, *score, point.second});
  return found;
}

std::vector<LawCell> law_cells(Grid const& grid, std::string const& method) {
  std::vector<LawCell> cells;
  for (ReportRow const* row : grid.select({})) {
    if (row->method != method && row->method != "dense") continue;
    if (grid.select({row->model, row->task, row->length, method}).empty()) continue;
    auto const embedded = static_cast<double>(row->dims.vocab * row->dims.hidden);
    cells.push_back({row->task, static_cast<double>(row->parameters) - embedded, static_cast<double>(row->length),
                     1.0 / row->budget, row->strict.mean, row->strict.count});
  }
  return cells;
}

std::vector<HeldOutLaw> hold_out(std::vector<LawCell> const& cells, double clip) {
  std::vector<HeldOutLaw> laws;
  for (std::string const axis : {"length", "size", "compression"}) {
    double largest = 0.0;
    for (LawCell const& cell : cells) largest = std::max(largest, axis_of(cell, axis));
    std::vector<LawCell> fitted, held_out;
    for (LawCell const& cell : cells) (axis_of(cell, axis) < largest ? fitted : held_out).push_back(cell);
    try {
      if (!fitted.empty()) laws.push_back(held_out_law(axis, fitted, held_out, clip));
    } catch (std::invalid_argument const&) {  // too little is left to fit, which the report says by the row's absence
    }
  }
  return laws;
}

}  // namespace frontier
