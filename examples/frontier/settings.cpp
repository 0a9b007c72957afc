#include "frontier/settings.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace frontier {
namespace {

template <class Value>
void refuse_repeats(std::vector<Value> values, char const* what) {
  std::sort(values.begin(), values.end());
  if (std::adjacent_find(values.begin(), values.end()) != values.end())
    throw UsageError(std::string("one of the ") + what + " is named twice");
}

}  // namespace

double Budget::at(std::int64_t length) const {
  if (tokens == 0.0) return share;
  auto const whole = static_cast<double>(length);
  return std::min(1.0, tokens * std::pow(whole / reference, exponent) / whole);
}

Budget parse_budget(std::string const& text) {
  Budget budget;
  int used = 0;
  if (std::sscanf(text.c_str(), "%lf@%lf^%lf%n", &budget.tokens, &budget.reference, &budget.exponent, &used) == 3) {
    if (used == static_cast<int>(text.size()) && budget.tokens > 0.0 && std::isfinite(budget.tokens) &&
        budget.reference > 0.0 && std::isfinite(budget.reference) && budget.exponent >= 0.0 && budget.exponent <= 1.0)
      return budget;
    throw UsageError("a budget of tokens must be like 102@2048^0.5, its exponent in [0, 1], not '" + text + "'");
  }
  double numerator = 0.0;
  double denominator = 1.0;
  bool const fraction = std::sscanf(text.c_str(), "%lf/%lf%n", &numerator, &denominator, &used) == 2;
  if (!fraction && std::sscanf(text.c_str(), "%lf%n", &numerator, &used) != 1) used = -1;
  double const share = numerator / denominator;
  if (used != static_cast<int>(text.size()) || !(share > 0.0 && share <= 1.0))
    throw UsageError("a budget must lie in (0, 1], like 1/20 or 0.05, not be '" + text + "'");
  return share;
}

std::string budget_text(double share) {
  double const inverse = std::round(1.0 / share);
  std::array<char, 32> text{};
  if (share == 1.0) return "1";
  if (std::abs(inverse * share - 1.0) < 1e-9)
    std::snprintf(text.data(), text.size(), "1/%.0f", inverse);
  else
    std::snprintf(text.data(), text.size(), "%.4g", share);
  return text.data();
}

void check(Settings const& settings) {
  refuse_repeats(settings.models, "models");
  refuse_repeats(settings.tasks, "tasks");
  refuse_repeats(settings.methods, "methods");
  refuse_repeats(settings.lengths, "lengths");
  refuse_repeats(settings.budgets, "budgets");
  refuse_repeats(settings.seeds, "seeds");
  for (Budget const& budget : settings.budgets)
    if (budget.tokens == 0.0 && !(budget.share > 0.0 && budget.share <= 1.0))
      throw UsageError("a budget must lie in (0, 1], not be " + std::to_string(budget.share));
  for (std::int64_t length : settings.lengths)
    if (length < 1) throw UsageError("a length must be at least 1, not " + std::to_string(length));
  for (std::int64_t samples : settings.samples)
    if (samples < 1) throw UsageError("samples must be at least 1, not " + std::to_string(samples));
  if (settings.models.empty() || settings.seeds.empty()) throw UsageError("at least one model and one seed are needed");
  if (settings.budgets.empty() || settings.lengths.empty())
    throw UsageError("at least one budget and one length are needed");
  if (settings.samples.size() != 1 && settings.samples.size() != settings.lengths.size())
    throw UsageError("give one number of samples for all lengths, or one for each");
  if (settings.max_output_tokens < 1) throw UsageError("at least one output token is needed");
  if (settings.turns != 1 && settings.turns != 2) throw UsageError("there are one or two turns");
  if (settings.turns == 2 && settings.form != Form::compact)
    throw UsageError("a second turn exists in the compact form alone");
  if (settings.threads < 0) throw UsageError("threads must not be negative");
}

}  // namespace frontier
