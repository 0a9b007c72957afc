#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "lacuna/cost/decode_methods.hpp"
#include "lacuna/cost/fit_rate.hpp"
#include "lacuna/cost/prefill_methods.hpp"

// From rows of results to constants of cost/time_model.hpp, for this repository's arms: the fixed time and the rate of
// each kind of call, by FLOPs in prefill and by bytes in decode; what they predict, row by row; and up to which length
// dense attention is at least as fast.

namespace lacuna::bench {

/// What a row of results says of one call.
struct TimedRow {
  std::string machine, dtype, arm;
  Phase phase = Phase::prefill;
  Shape shape;
  double density = 1.0, select_ms = 0.0, attend_ms = 0.0;  // density(index)
};

/// A band, given the share of the causal pairs that it keeps.
struct BandCost {
  double density = 1.0;
  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    return {{}, prompt_attention(shape, density * lacuna::causal_pairs(shape), storage), true};
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return DenseCost{}.decode(shape, storage);
  }
};

/// Arms of one method: those of other budgets are named after it.
inline std::string method_of(std::string arm) {
  if (arm.rfind("ours-", 0) == 0) arm.erase(0, 5);
  if (arm.size() > 5 && arm.rfind("-more") == arm.size() - 5) arm.resize(arm.size() - 5);
  return arm;
}

/// Side of an arm's blocks, the number at its end; 0 for arms without.
inline std::int64_t block_of(std::string const& method) {
  return method.rfind("block-", 0) == 0 ? std::stoll(method.substr(method.rfind('-') + 1)) : 0;
}

/// f(cost) for a method by its name. The density of blocks counts those on the diagonal whole.
template <class F>
auto with_cost(std::string const& method, double density, F const& f) {
  auto const is = [&](char const* name) { return method.rfind(name, 0) == 0; };
  if (is("dense") || is("read")) return f(DenseCost{});
  if (is("streaming")) return f(BandCost{density});
  if (is("quest")) return f(QuestCost{density});
  if (is("x-attention")) return f(XAttentionCost{density, 8});
  if (is("flex-prefill")) return f(FlexPrefillCost{density, {512, 2}});
  if (is("vertical-slash")) return f(VerticalSlashCost{density, {256, 2}});
  return f(BlockSparseCost{density, block_of(method)});
}

inline StorageBytes storage_of(std::string const& dtype) {
  double const bytes = dtype == "f32" ? 4.0 : 2.0;
  return {bytes, bytes, bytes};
}

/// What the call of a row did.
inline AttentionWork work_of_row(TimedRow const& row) {
  std::string const method = method_of(row.arm);
  double density = row.density;
  if (std::int64_t const block = block_of(method); block > 0) {
    double const len = static_cast<double>(row.shape.len_k), b = static_cast<double>(block), n = len / b;
    density = (density * len * (len + 1.0) / 2.0 + len * (b - 1.0) / 2.0) / (n * (n + 1.0) / 2.0 * b * b);
  }
  return with_cost(method, density,
                   [&](auto const& cost) { return work_of(cost, row.phase, row.shape, storage_of(row.dtype)); });
}

namespace detail {

struct FittedStage {
  StageRate rate;
  double worst = 0.0;  // share of the measured time that a prediction is off
};

inline FittedStage fit_stage(std::vector<TimedWork> const& calls, RateOf limit) {
  FittedStage fitted{fit_rate(calls, limit)};
  for (TimedWork const& call : calls)
    fitted.worst = std::max(fitted.worst, std::abs(fitted.rate.ms(call.work) / call.ms - 1.0));
  return fitted;
}

inline void print_stage(std::FILE* to, char const* name, FittedStage const& stage) {
  std::fprintf(to, "%s %.4f ms", name, stage.rate.fixed_ms);
  if (std::isfinite(stage.rate.gbytes_per_s)) std::fprintf(to, " + %.1f GB/s", stage.rate.gbytes_per_s);
  if (std::isfinite(stage.rate.tflops)) std::fprintf(to, " + %.4g TFLOP/s", stage.rate.tflops);
  std::fprintf(to, " (within %.0f %%)", 100.0 * stage.worst);
}

/// From which density on dense attention is at least as fast, at this shape.
inline double break_even_density(std::string const& method, TimeModel const& model, Phase phase, Shape const& shape) {
  double sparse = 0.0, dense = 1.0;
  while (dense - sparse > 1e-4) {
    double const middle = 0.5 * (sparse + dense);
    bool const picks_dense =
        with_cost(method, middle, [&](auto const& cost) { return prefers_dense(model, phase, cost, shape); });
    (picks_dense ? dense : sparse) = middle;
  }
  return dense;
}

/// Up to which length, at some densities, and from which density on, at the longest row, dense attention is at least as
/// fast.
inline void print_crossovers(std::FILE* to, std::string const& method, TimedRow const& longest,
                             PhaseRates const& rates) {
  constexpr std::int64_t kLongest = std::int64_t{1} << 20;
  TimeModel model{.storage = storage_of(longest.dtype)};
  (longest.phase == Phase::prefill ? model.prefill : model.decode) = rates;
  std::fprintf(to, "  dense is as fast up to");
  for (double const density : {0.05, 0.1, 0.2, 0.4}) {
    auto const first = with_cost(method, density, [&](auto const& cost) {
      return crossover_length(model, longest.phase, cost, longest.shape, kLongest);
    });
    if (first == 1 || first > kLongest)
      std::fprintf(to, " %s length at density %.2f;", first == 1 ? "no" : "any", density);
    else
      std::fprintf(to, " %lld tokens at %.2f;", static_cast<long long>(first - 1), density);
  }
  std::fprintf(to, " at %lld tokens from a density of %.2f on\n", static_cast<long long>(longest.shape.len_k),
               break_even_density(method, model, longest.phase, longest.shape));
}

}  // namespace detail

/// Constants of every method in these rows, those of one machine, phase and storage type together.
inline void print_time_models(std::FILE* to, std::vector<TimedRow> const& rows) {
  using Kind = std::tuple<std::string, Phase, std::string>;
  std::map<Kind, std::map<std::string, std::vector<TimedRow>>> kinds;
  for (TimedRow const& row : rows) kinds[{row.machine, row.phase, row.dtype}][method_of(row.arm)].push_back(row);
  for (auto const& [kind, methods] : kinds) {
    auto const& [machine, phase, dtype] = kind;
    std::fprintf(to, "%s, %s, %s\n", machine.c_str(), phase == Phase::prefill ? "prefill" : "decode", dtype.c_str());
    RateOf const limit = phase == Phase::prefill ? RateOf::flops : RateOf::bytes;
    PhaseRates rates;
    for (bool const dense : {true, false})  // first what the others are compared with
      for (auto const& [method, of_method] : methods) {
        if ((method == "dense") != dense) continue;
        std::vector<TimedWork> attend, select;
        std::set<std::int64_t> lengths;
        bool chooses = false;
        for (TimedRow const& row : of_method) {
          AttentionWork const work = work_of_row(row);
          lengths.insert(row.shape.len_k);
          attend.push_back({work.attend, row.attend_ms});
          if (work.select == Work{} || row.select_ms <= 0.0) continue;
          chooses = true;
          select.push_back({work.select, row.select_ms});
        }
        auto const attending = detail::fit_stage(attend, limit), selecting = detail::fit_stage(select, limit);
        std::fprintf(to, "%s: ", method.c_str());
        detail::print_stage(to, "attend", attending);
        if (chooses) detail::print_stage(to, ", select", selecting);
        std::fprintf(to, lengths.size() < 2 ? "; one length tells no fixed time\n" : "\n");
        for (std::size_t i = 0; i < of_method.size(); ++i) {
          TimedRow const& row = of_method[i];
          AttentionWork const work = work_of_row(row);
          std::fprintf(to, "  %6lld %.4f  attend %.3f for %.3f", static_cast<long long>(row.shape.len_k), row.density,
                       attending.rate.ms(work.attend), row.attend_ms);
          if (chooses) std::fprintf(to, "  select %.3f for %.3f", selecting.rate.ms(work.select), row.select_ms);
          std::fprintf(to, "\n");
        }
        if (dense) rates.dense = attending.rate;
        if (dense || !work_of_row(of_method.front()).sparse) continue;
        if (methods.count("dense") == 0 || lengths.size() < 2) continue;
        rates.sparse = attending.rate;
        rates.select = selecting.rate;
        auto const longest =
            std::max_element(of_method.begin(), of_method.end(),
                             [](TimedRow const& a, TimedRow const& b) { return a.shape.len_k < b.shape.len_k; });
        detail::print_crossovers(to, method, *longest, rates);
      }
  }
}

}  // namespace lacuna::bench
