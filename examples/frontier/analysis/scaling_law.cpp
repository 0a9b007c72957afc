#include "frontier/analysis/scaling_law.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <stdexcept>

#include "frontier/analysis/significance.hpp"
#include "transformer/eigen.hpp"

namespace frontier {
namespace {

double logit(double p) { return std::log(p / (1.0 - p)); }

/// [1, a column for each task but the first, ln parameters, ln length, ln compression].
Eigen::VectorXd terms_of(LawCell const& cell, std::vector<std::string> const& tasks) {
  auto const at = std::find(tasks.begin(), tasks.end(), cell.task);
  if (at == tasks.end()) throw std::invalid_argument("scaling law: no cell of task " + cell.task + " was fitted");
  Eigen::VectorXd terms = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(tasks.size()) + 3);
  terms[0] = 1.0;
  if (at != tasks.begin()) terms[at - tasks.begin()] = 1.0;
  terms.tail<3>() << std::log(cell.parameters), std::log(cell.length), std::log(cell.compression);
  return terms;
}

template <class Value>
std::size_t distinct(std::span<LawCell const> cells, Value LawCell::*member) {
  std::set<Value> values;
  for (LawCell const& cell : cells) values.insert(cell.*member);
  return values.size();
}

std::vector<double> ranks_of(std::span<double const> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
    while (last < order.size() && values[order[last]] == values[order[first]]) ++last;
    for (std::size_t i = first; i < last; ++i) ranks[order[i]] = 0.5 * static_cast<double>(first + last - 1);
  }
  return ranks;
}

}  // namespace

double ScalingLaw::predict(LawCell const& cell) const {
  Eigen::VectorXd const terms = terms_of(cell, tasks);
  double sum = 0.0;
  for (std::size_t i = 0; i < coefficients.size(); ++i)
    sum += coefficients[i].value * terms[static_cast<Eigen::Index>(i)];
  return 1.0 / (1.0 + std::exp(-sum));
}

ScalingLaw fit_scaling_law(std::span<LawCell const> cells, double clip) {
  ScalingLaw law;
  law.clip = clip;
  for (LawCell const& cell : cells)
    if (std::find(law.tasks.begin(), law.tasks.end(), cell.task) == law.tasks.end()) law.tasks.push_back(cell.task);
  law.exploratory = distinct(cells, &LawCell::parameters) < 3 || distinct(cells, &LawCell::length) < 3;

  auto const rows = static_cast<Eigen::Index>(cells.size());
  auto const columns = static_cast<Eigen::Index>(law.tasks.size()) + 3;
  Eigen::MatrixXd terms(rows, columns);
  Eigen::VectorXd logits(rows);
  for (Eigen::Index row = 0; row < rows; ++row) {
    LawCell const& cell = cells[static_cast<std::size_t>(row)];
    terms.row(row) = terms_of(cell, law.tasks);
    logits[row] = logit(std::clamp(cell.accuracy, clip, 1.0 - clip));
  }

  // An axis without spread cannot be told from the intercept: it stays out of the fit.
  std::vector<Eigen::Index> fitted;
  for (Eigen::Index column = 0; column < columns; ++column)
    if (column == 0 || (rows > 0 && (terms.col(column).array() != terms(0, column)).any())) fitted.push_back(column);
  if (rows < static_cast<Eigen::Index>(fitted.size()))
    throw std::invalid_argument("scaling law: fewer cells than coefficients");
  Eigen::MatrixXd const design = terms(Eigen::all, fitted);
  Eigen::ColPivHouseholderQR<Eigen::MatrixXd> const qr(design);
  if (qr.rank() < design.cols()) throw std::invalid_argument("scaling law: the axes vary together, not on their own");
  Eigen::VectorXd const solution = qr.solve(logits);
  double const residual = (logits - design * solution).squaredNorm();
  double const spread = (logits.array() - logits.mean()).square().sum();
  law.r2 = spread > 0.0 ? 1.0 - residual / spread : 1.0;
  double const freedom = static_cast<double>(rows - design.cols());
  Eigen::VectorXd const diagonal = (design.transpose() * design).inverse().diagonal();

  std::vector<std::string> names = {"intercept"};
  for (std::size_t t = 1; t < law.tasks.size(); ++t) names.push_back(law.tasks[t]);
  for (char const* name : {"alpha", "beta", "gamma"}) names.emplace_back(name);
  for (std::string const& name : names)
    law.coefficients.push_back({name, 0.0, std::numeric_limits<double>::infinity()});
  for (std::size_t i = 0; i < fitted.size(); ++i) {
    ScalingLaw::Coefficient& coefficient = law.coefficients[static_cast<std::size_t>(fitted[i])];
    auto const at = static_cast<Eigen::Index>(i);
    coefficient.value = solution[at];
    if (freedom > 0.0) coefficient.error = std::sqrt(residual / freedom * diagonal[at]);
  }
  return law;
}

RankCorrelation spearman(std::span<double const> a, std::span<double const> b) {
  if (a.size() != b.size()) throw std::invalid_argument("spearman: both sides must have the same length");
  RankCorrelation result;
  if (a.size() < 3) return result;
  std::vector<double> const left = ranks_of(a), right = ranks_of(b);
  auto const count = static_cast<Eigen::Index>(a.size());
  Eigen::ArrayXd const x = Eigen::Map<Eigen::ArrayXd const>(left.data(), count) - 0.5 * static_cast<double>(count - 1);
  Eigen::ArrayXd const y = Eigen::Map<Eigen::ArrayXd const>(right.data(), count) - 0.5 * static_cast<double>(count - 1);
  double const spread = std::sqrt((x * x).sum() * (y * y).sum());
  if (!(spread > 0.0)) return result;
  result.rho = std::clamp((x * y).sum() / spread, -1.0, 1.0);
  double const degrees = static_cast<double>(count - 2);
  double const unexplained = 1.0 - result.rho * result.rho;
  result.p =
      unexplained > 0.0 ? 2.0 * student_tail(std::abs(result.rho) * std::sqrt(degrees / unexplained), degrees) : 0.0;
  return result;
}

LawValidation validate(ScalingLaw const& law, std::span<LawCell const> held_out) {
  LawValidation result;
  if (held_out.empty()) return result;
  std::vector<double> measured, predicted;
  for (LawCell const& cell : held_out) {
    measured.push_back(cell.accuracy);
    predicted.push_back(law.predict(cell));
  }
  result.ranks = spearman(measured, predicted);
  auto const count = static_cast<Eigen::Index>(measured.size());
  Eigen::Map<Eigen::ArrayXd const> const truth(measured.data(), count), guess(predicted.data(), count);
  result.mean_absolute_error = (truth - guess).abs().mean();
  double const spread = (truth - truth.mean()).square().sum();
  result.r2 = spread > 0.0 ? 1.0 - (truth - guess).square().sum() / spread : 0.0;
  return result;
}

}  // namespace frontier
