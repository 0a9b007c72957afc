#include "frontier/analysis/grid.hpp"

#include <algorithm>
#include <map>

#include "frontier/analysis/significance.hpp"

namespace frontier {
namespace {

template <class Value>
void add_once(std::vector<Value>& values, Value const& value) {
  if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
}

/// Asked for one question alone: what is said about all tasks is said about the nine.
bool stands_apart(std::string const& task) { return task == "niah_words"; }

}  // namespace

bool Where::holds(ReportRow const& row) const {
  return (model.empty() || model == row.model) && (task.empty() ? !stands_apart(row.task) : task == row.task) &&
         (length == 0 || length == row.length) && (method.empty() || method == row.method) && turn == row.turn &&
         turns == row.turns;
}

std::vector<ReportRow const*> Grid::select(Where const& where) const {
  std::vector<ReportRow const*> found;
  for (ReportRow const& row : rows_)
    if (where.holds(row)) found.push_back(&row);
  return found;
}

ReportRow const* Grid::dense(Where where) const {
  where.method = "dense";
  auto const found = select(where);
  return found.empty() ? nullptr : found.front();
}

ReportRow const* Grid::dense_of(ReportRow const& sparse) const {
  return dense({.model = sparse.model,
                .task = sparse.task,
                .length = sparse.length,
                .turn = sparse.turn,
                .turns = sparse.turns});
}

std::vector<std::string> Grid::models() const {
  std::vector<std::pair<std::int64_t, std::string>> found;
  for (ReportRow const& row : rows_) add_once(found, {row.parameters, row.model});
  std::sort(found.begin(), found.end());
  std::vector<std::string> names;
  for (auto const& [parameters, name] : found) names.push_back(name);
  return names;
}

std::vector<std::string> Grid::tasks(Where const& where) const {
  std::vector<std::string> names;
  for (ReportRow const* row : select(where)) add_once(names, row->task);
  return names;
}

std::vector<std::string> Grid::methods(std::string const& phase) const {
  std::vector<std::string> names;
  for (ReportRow const& row : rows_)
    if (row.phase != "dense" && (phase.empty() || row.phase == phase)) add_once(names, row.method);
  return names;
}

std::vector<std::int64_t> Grid::lengths(Where const& where) const {
  std::vector<std::int64_t> values;
  for (ReportRow const* row : select(where)) add_once(values, row->length);
  std::sort(values.begin(), values.end());
  return values;
}

std::vector<double> Grid::budgets(Where const& where) const {
  std::vector<double> values;
  for (ReportRow const* row : select(where)) add_once(values, row->budget);
  std::sort(values.rbegin(), values.rend());
  return values;
}

std::optional<Grid::Value> Grid::at_density(Where const& where, double density) const {
  std::map<double, Value> points;
  auto const add = [&](ReportRow const& row, double at) {
    points[at] = {row.strict.mean,
                  row.strict.variance / static_cast<double>(std::max<std::int64_t>(1, row.strict.count))};
  };
  for (ReportRow const* row : select(where)) add(*row, row->density);
  if (ReportRow const* whole = dense(where)) add(*whole, 1.0);
  std::vector<double> xs, means, variances;
  for (auto const& [at, value] : points) {
    xs.push_back(at);
    means.push_back(value.mean);
    variances.push_back(value.variance_of_mean);
  }
  if (!xs.empty() && density < xs.front() && density >= 0.9 * xs.front()) density = xs.front();
  auto const mean = interpolate(xs, means, density);
  if (!mean) return std::nullopt;
  return Value{*mean, *interpolate(xs, variances, density)};
}

Paired pair_up(ReportRow const& first, ReportRow const& second) {
  Paired paired;
  for (std::size_t i = 0, j = 0; i < first.samples.size() && j < second.samples.size();) {
    if (first.samples[i] < second.samples[j]) {
      ++i;
    } else if (second.samples[j] < first.samples[i]) {
      ++j;
    } else {
      paired.first.push_back(first.scores[i++]);
      paired.second.push_back(second.scores[j++]);
    }
  }
  return paired;
}

}  // namespace frontier
