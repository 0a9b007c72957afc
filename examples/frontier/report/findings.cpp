#include "frontier/report/findings.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <stdexcept>

#include "frontier/analysis/budget_law.hpp"
#include "frontier/analysis/effects.hpp"
#include "frontier/analysis/interaction.hpp"
#include "frontier/analysis/iso_cost.hpp"
#include "frontier/analysis/retention.hpp"
#include "frontier/report/figures.hpp"
#include "frontier/settings.hpp"

namespace frontier {
namespace {

template <class... Values>
std::string format(char const* pattern, Values... values) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

bool has(Grid const& grid, std::string const& method) {
  std::vector<std::string> const run = grid.methods();
  return std::find(run.begin(), run.end(), method) != run.end();
}

bool is_control(std::string const& method) {
  return method.find("oracle") != std::string::npos || method.find("random") != std::string::npos;
}

/// The length at which most methods of a phase were run, the longest of several.
std::int64_t richest_length(Grid const& grid, std::string const& model, std::string const& phase) {
  std::int64_t best = 0;
  std::size_t most = 0;
  for (std::int64_t length : grid.lengths({.model = model})) {
    std::size_t count = 0;
    for (std::string const& method : grid.methods(phase))
      count += grid.select({model, "", length, method}).empty() ? 0 : 1;
    if (count >= most) best = length, most = count;
  }
  return best;
}

/// The best two methods of a phase at each budget, where most of them were run.
Finding best_methods(Grid const& grid) {
  Finding finding{"Which method keeps most?", {}};
  if (grid.models().empty()) return finding;
  std::string const model = grid.models().back();
  for (std::string const phase : {"prefill", "decode"})
    for (double budget : {0.5, 0.2, 0.1, 0.05}) {
      std::int64_t const length = richest_length(grid, model, phase);
      std::vector<std::pair<double, std::string>> ranking;
      std::map<std::string, BudgetPoint> points;
      for (std::string const& method : grid.methods(phase))
        for (BudgetPoint const& point : budget_curve(grid, {model, "", length, method})) {
          if (std::abs(point.budget - budget) > 1e-9 || is_control(method) || method.find(':') != std::string::npos)
            continue;
          ranking.push_back({-point.mean, method});
          points[method] = point;
        }
      std::stable_sort(ranking.begin(), ranking.end(), [](auto const& a, auto const& b) { return a.first < b.first; });
      if (ranking.size() < 2) continue;
      std::string sentence =
          format("%s at %s, %lld tokens, %s, of %zu methods: ", phase.c_str(), budget_text(budget).c_str(),
                 static_cast<long long>(length), model.c_str(), ranking.size());
      for (std::size_t i = 0; i < std::min<std::size_t>(3, ranking.size()); ++i) {
        BudgetPoint const& point = points[ranking[i].second];
        sentence += (i > 0 ? ", " : "") + ranking[i].second +
                    format(" %.3f +- %.3f (density %.3f)", point.mean, point.standard_error, point.density);
      }
      finding.sentences.push_back(sentence + ".");
    }
  return finding;
}

Finding compression(Grid const& grid) {
  Finding finding{"How far can each phase be compressed without a significant loss?", {}};
  for (auto const& [method, phase] : {std::pair("vertical-slash", "prefill"), std::pair("quest", "decode")})
    for (std::string const& model : grid.models())
      for (std::int64_t length : grid.lengths({.model = model, .method = method})) {
        RetentionSummary const summary =
            summarise(retention(grid, {.model = model, .length = length, .method = method}));
        if (summary.informative == 0) continue;
        finding.sentences.push_back(format(
            "%s (%s), %s, %lld tokens: %.1fx on average over %lld tasks (deviation %.1f); the first to give way is "
            "%s, at %.1fx.",
            method, phase, model.c_str(), static_cast<long long>(length), summary.mean,
            static_cast<long long>(summary.informative), summary.deviation, summary.least_task.c_str(), summary.least));
      }
  return finding;
}

Finding iso_costs(Grid const& grid) {
  Finding finding{"At equal cost, small and dense or large and sparse?", {}};
  if (grid.models().size() < 2) return finding;
  for (auto const& [method, phase, batch] : {std::tuple("vertical-slash", "prefill", 1.0),
                                             std::tuple("quest", "decode", 1.0), std::tuple("quest", "decode", 64.0)}) {
    if (!has(grid, method)) continue;
    auto const length = crossover_length(grid, method, batch);
    std::string const what = format("%s (%s, batch %.0f)", method, phase, batch);
    finding.sentences.push_back(
        length
            ? format("%s: from %lld tokens on a larger sparse model costs no more than a smaller dense one and does no "
                     "worse.",
                     what.c_str(), static_cast<long long>(*length))
            : what + ": at no length that was run does a larger sparse model dominate a smaller dense one.");
    std::int64_t const longest = grid.lengths({.method = method}).back();
    std::string members;
    for (IsoCostPoint const& point : iso_cost(grid, method, longest, batch))
      if (point.on_frontier)
        members += (members.empty() ? "" : ", ") + point.model + " " +
                   (point.method == "dense" ? "dense" : budget_text(point.budget)) +
                   format(" (%.3f)", point.performance);
    finding.sentences.push_back(format("On the frontier at %lld tokens: ", static_cast<long long>(longest)) + members +
                                ".");
  }
  return finding;
}

Finding lengths(Grid const& grid) {
  Finding finding{"Do longer prompts bear more sparsity?", {}};
  for (char const* phase : {"prefill", "decode"})
    for (double density : {0.1, 0.055}) {
      std::string parts;
      for (std::int64_t length : grid.lengths()) {
        auto const line = error_line(grid, {.length = length}, complete_methods(grid, phase), {density});
        if (!line.empty())
          parts +=
              (parts.empty() ? "" : ", ") + format("%.3f at %lld", line[0].relative(), static_cast<long long>(length));
      }
      if (parts.find(',') != std::string::npos)
        finding.sentences.push_back(format("Relative error of %s at a density of %.3g: ", phase, density) + parts +
                                    " tokens.");
    }
  return finding;
}

Finding budget_laws(Grid const& grid) {
  Finding finding{"What budget keeps the error constant as prompts grow?", {}};
  for (std::string const method : {"quest", "ada-snapkv", "vertical-slash"})
    for (std::string const& model : grid.models())
      for (double error : {0.1, 0.2}) {
        if (grid.lengths({.model = model, .method = method}).size() < 2) continue;
        auto const law = fit_budget_law(grid, {.model = model, .method = method}, error);
        if (!law) {
          finding.sentences.push_back(format("%s, %s: a relative error of %.1f is not crossed at two lengths.",
                                             method.c_str(), model.c_str(), error));
          continue;
        }
        finding.sentences.push_back(format(
            "%s, %s, relative error %.1f: tokens = %.3g length^%.2f, 95 %% interval of the exponent %.2f to %.2f "
            "(%lld lengths, %lld resamplings).",
            method.c_str(), model.c_str(), error, law->scale, law->exponent, law->low, law->high,
            static_cast<long long>(law->lengths), static_cast<long long>(law->resamples)));
      }
  return finding;
}

std::string by_tokens(char const* way, std::optional<BudgetCheck::Error> const& error) {
  if (!error) return std::string(way) + " was not run so low";
  return format("%s (%.0f tokens) %.3f, 95 %% interval %.3f to %.3f", way, error->tokens, error->error, error->low,
                error->high);
}

Finding budget_checks(Grid const& grid) {
  Finding finding{"Does a budget that was fitted to shorter prompts keep the error of the longest?", {}};
  for (std::string const method : {"quest", "ada-snapkv", "vertical-slash"})
    for (std::string const& model : grid.models())
      for (double error : {0.1, 0.2}) {
        auto const check = check_budget_law(grid, {.model = model, .method = method}, error);
        if (!check) continue;
        finding.sentences.push_back(
            format("%s, %s, fitted to a relative error of %.1f below %lld tokens (exponent %.2f); the error there: ",
                   method.c_str(), model.c_str(), error, static_cast<long long>(check->length), check->law.exponent) +
            by_tokens("the fitted budget", check->fitted) + "; " +
            by_tokens("the same share as at the length before", check->same_share) + "; " +
            by_tokens("the same number", check->same_tokens) + ".");
      }
  return finding;
}

/// The score of one task, at one length and budget, under one method.
std::string score_at(Grid const& grid, Where where, std::string const& task, double budget) {
  where.task = task;
  for (ReportRow const* row : grid.select(where))
    if (row->budget == budget) return format("%.3f +- %.3f", row->strict.mean, row->strict.standard_error());
  return "not run";
}

Finding keys(Grid const& grid) {
  Finding finding{"Do keys that are words change what is found?", {}};
  Where const words{.task = "niah_words"};
  std::vector<std::string> methods = grid.methods();
  methods.insert(methods.begin(), "dense");
  for (std::string const& model : grid.models())
    for (std::int64_t length : grid.lengths({.model = model, .task = words.task})) {
      ReportRow const* const dense = grid.dense({.model = model, .task = words.task, .length = length});
      if (dense != nullptr && dense->strict.mean < 0.5) {
        finding.sentences.push_back(format("%s at %lld tokens cannot say: %.3f on keys of words, dense.", model.c_str(),
                                           static_cast<long long>(length), dense->strict.mean));
        continue;
      }
      for (std::string const& method : methods) {
        Where const where{model, words.task, length, method};
        for (double budget : grid.budgets(where))
          finding.sentences.push_back(format("%s at %s, %lld tokens, %s: ", method.c_str(), budget_text(budget).c_str(),
                                             static_cast<long long>(length), model.c_str()) +
                                      score_at(grid, where, "niah", budget) + " with random keys, " +
                                      score_at(grid, where, "niah_words", budget) + " with words.");
      }
    }
  return finding;
}

void add_comparison(Finding& finding, Grid const& grid, std::string const& first, std::string const& second,
                    std::string const& words) {
  if (!has(grid, first) || !has(grid, second)) return;
  for (Comparison const& one : compare(grid, {}, first, second)) {
    if (!one.task.empty()) continue;
    finding.sentences.push_back(format(
        "%s at %s: %+.3f +- %.3f over %lld answers (p %.3g that there is no %s), at a density of %.3f against %.3f.",
        words.c_str(), budget_text(one.budget).c_str(), one.difference, one.standard_error,
        static_cast<long long>(one.count), one.difference < 0.0 ? one.p_lower : one.p_higher,
        one.difference < 0.0 ? "loss" : "gain", one.second_density, one.first_density));
  }
}

Finding bounds(Grid const& grid) {
  Finding finding{"How far are estimators from knowing, and from guessing?", {}};
  add_comparison(finding, grid, "block-sparse", "block-oracle", "Block-Sparse with true attention instead of means");
  add_comparison(finding, grid, "block-sparse", "block-random", "Block-Sparse with random blocks");
  add_comparison(finding, grid, "quest", "quest-oracle", "Quest with true attention instead of bounds");
  add_comparison(finding, grid, "quest", "quest-random", "Quest with random pages");
  add_comparison(finding, grid, "snapkv", "snapkv-oracle", "SnapKV by the attention of all queries");
  add_comparison(finding, grid, "snapkv", "snapkv-random", "SnapKV with random tokens");
  return finding;
}

Finding dispersion(Grid const& grid) {
  Finding finding{"Do budgets that follow the spread of attention do better at the same mean?", {}};
  add_comparison(finding, grid, "snapkv", "spread-snapkv", "Shared out by entropy against even");
  add_comparison(finding, grid, "snapkv", "ada-snapkv", "Shared out by competition (Ada-SnapKV) against even");
  add_comparison(finding, grid, "quest", "quest-top-p", "Pages by mass (Quest-TopP) against even");
  add_comparison(finding, grid, "vertical-slash", "flexprefill", "Lines by coverage (FlexPrefill) against even");
  return finding;
}

Finding quantised(Grid const& grid) {
  Finding finding{"Do 8-bit keys and values add to the loss of sparsity, or multiply it?", {}};
  for (std::string const codes : {"quest-int8", "quest-fp8"}) {
    if (!has(grid, "quest") || !has(grid, codes)) continue;
    try {
      Interaction const fit = fit_interaction(grid, {}, "quest", codes);
      finding.sentences.push_back(format(
          "%s: log-odds change by %.3f +- %.3f for the codes, %.3f +- %.3f per unit of ln compression; interaction "
          "%.3f +- %.3f (p %.3g, %lld cells).",
          codes.c_str(), fit.quantised.value, fit.quantised.error, fit.sparsity.value, fit.sparsity.error,
          fit.both.value, fit.both.error, fit.p, static_cast<long long>(fit.cells)));
    } catch (std::invalid_argument const&) {
      continue;  // too few budgets to tell
    }
    for (ByteBalance const& point : balance_bytes(grid, {}, "quest", codes))
      finding.sentences.push_back(format("At %.0f bytes a step: %.3f with 16 bits, %.3f with 8 bits and more tokens.",
                                         point.bytes, point.full, point.quantised));
  }
  return finding;
}

Finding second_questions(Grid const& grid) {
  Finding finding{"What does eviction cost when another question follows?", {}};
  for (std::string const& method : grid.methods("decode"))
    for (double budget : grid.budgets({.method = method, .turn = 2, .turns = 2})) {
      double first = 0.0, second = 0.0, dense_first = 0.0, dense_second = 0.0, count = 0.0;
      for (ReportRow const* row : grid.select({.method = method, .turn = 2, .turns = 2})) {
        ReportRow const* const dense = grid.dense_of(*row);
        if (row->budget != budget || dense == nullptr) continue;
        for (ReportRow const* before : grid.select({row->model, row->task, row->length, method, 1, 2}))
          if (before->budget == budget) first += before->strict.mean;
        if (ReportRow const* before = grid.dense({row->model, row->task, row->length, {}, 1, 2}))
          dense_first += before->strict.mean;
        second += row->strict.mean;
        dense_second += dense->strict.mean;
        count += 1.0;
      }
      if (count > 0.0)
        finding.sentences.push_back(
            format("%s at %s: %.3f on the first question (dense %.3f), %.3f on the second (dense "
                   "%.3f).",
                   method.c_str(), budget_text(budget).c_str(), first / count, dense_first / count, second / count,
                   dense_second / count));
    }
  return finding;
}

Finding laws(Grid const& grid) {
  Finding finding{"Does a log-linear law of size, length and compression foretell scores?", {}};
  for (std::string const method : {"vertical-slash", "quest"}) {
    std::vector<LawCell> const cells = law_cells(grid, method);
    if (cells.empty()) continue;
    double least = 1e9;
    for (LawCell const& cell : cells) least = std::min(least, static_cast<double>(cell.count));
    for (HeldOutLaw const& held : hold_out(cells, 0.5 / least)) {
      std::string terms;
      for (std::size_t i = held.law.coefficients.size() - 3; i < held.law.coefficients.size(); ++i) {
        ScalingLaw::Coefficient const& one = held.law.coefficients[i];
        if (std::isfinite(one.error)) terms += format("%s %.2f +- %.2f, ", one.name.c_str(), one.value, one.error);
      }
      finding.sentences.push_back(
          format("%s, largest %s held out: %sR2 %.2f of logits; the held-out cells: mean absolute "
                 "error %.3f, Spearman %.2f (p %.2g)%s.",
                 method.c_str(), held.axis.c_str(), terms.c_str(), held.law.r2, held.all.mean_absolute_error,
                 held.all.ranks.rho, held.all.ranks.p,
                 held.law.exploratory ? "; exploratory, fewer than three sizes or lengths" : ""));
    }
  }
  return finding;
}

}  // namespace

std::vector<Finding> findings_of(Grid const& grid) {
  std::vector<Finding> found;
  for (Finding& finding : std::vector<Finding>{best_methods(grid), compression(grid), iso_costs(grid), lengths(grid),
                                               budget_laws(grid), budget_checks(grid), bounds(grid), dispersion(grid),
                                               quantised(grid), second_questions(grid), keys(grid), laws(grid)})
    if (!finding.sentences.empty()) found.push_back(std::move(finding));
  return found;
}

}  // namespace frontier
