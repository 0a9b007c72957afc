#include "frontier/methods.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace frontier {
namespace {

/// The published settings are for contexts of 16K and more. Below that everything shrinks, so that what is always kept
/// stays well under the smallest budget.
struct Scaled {
  std::int64_t unit_tokens;  // page, and tile of diagonals
  std::int64_t recent_diagonals;
  std::int64_t recent_tokens;  // of the evicting methods
  std::int64_t smoothing;
  std::int64_t window;
  std::int64_t long_window;
};

constexpr std::int64_t kSinkTokens = 4;

Scaled scaled_to(std::int64_t length) {
  if (length <= 2048) return {8, 16, 16, 5, 64, 128};
  if (length <= 4096) return {8, 16, 32, 7, 64, 128};
  if (length <= 8192) return {16, 32, 64, 13, 128, 256};
  return {16, 64, 128, 21, 256, 512};
}

/// Calls f with the unit size of this length as a compile-time number.
template <class F>
auto with_unit(Setup const& setup, F&& f) {
  return scaled_to(setup.length).unit_tokens == 8 ? f(std::integral_constant<int, 8>{})
                                                  : f(std::integral_constant<int, 16>{});
}

template <int Tile>
lacuna::VerticalSlashOf<Tile> vertical_slash(Setup const& setup, std::int64_t lines) {
  return {.selector = {.inner = {.window = window_for(setup)},
                       .sink_tokens = kSinkTokens,
                       .recent_tokens = scaled_to(setup.length).recent_diagonals},
          .budget = {.columns = lines, .diagonals = lines}};
}

/// The density that a number of lines has on an example depends on how they cluster, so it is measured. The scores are
/// the same for every number, and a choice made by the last queries is the choice for the whole prompt.
template <int Tile>
class LineDensity {
 public:
  LineDensity(lacuna::Cpu exec, Setup const& setup, transformer::DenseAttention const& example)
      : exec_(exec), example_(example), method_(vertical_slash<Tile>(setup, example.tokens())) {
    lacuna::Shape const shape = lacuna::shape_of(example.last_queries(0));
    lacuna::Workspace scoring;
    lacuna::Workspace picking;
    lacuna::reserve_scoring(exec, method_.selector, method_.unit, shape, scoring);
    method_.unit.reserve_pick(exec, shape, picking);
    workspace_.reserve(std::max(scoring.used_bytes(), picking.used_bytes()));
    for (std::int64_t layer = 0; layer < example.layers(); ++layer) {
      std::vector<float>& scores = scores_.emplace_back(static_cast<std::size_t>(shape.heads_q * 2 * shape.len_k));
      transformer::require(method_.selector.score(exec, method_.unit, example.last_queries(layer),
                                                  workspace_.workspace(), view(scores, shape)));
    }
  }

  /// Mean over the layers, with as many columns as diagonals.
  double operator()(std::int64_t lines) {
    double sum = 0.0;
    for (std::int64_t layer = 0; layer < example_.layers(); ++layer) {
      lacuna::Problem<float> const problem = example_.last_queries(layer);
      lacuna::Shape const shape = lacuna::shape_of(problem);
      std::vector<std::int32_t> counts(static_cast<std::size_t>(shape.heads_q * 2), static_cast<std::int32_t>(lines));
      lacuna::Workspace counting;
      (void)method_.make_index(shape, counting);
      index_memory_.reserve(counting.used_bytes());
      lacuna::Workspace memory = index_memory_.workspace();
      lacuna::VerticalSlashIndex index = method_.make_index(shape, memory);
      transformer::require(method_.unit.pick(exec_, problem, view(scores_[static_cast<std::size_t>(layer)], shape),
                                             lacuna::dense_view<std::int32_t, 2>(counts.data(), {shape.heads_q, 2}),
                                             workspace_.workspace(), index));
      index.len_q = index.len_k;
      sum += lacuna::density(index);
    }
    return sum / static_cast<double>(example_.layers());
  }

 private:
  static lacuna::Scores view(std::vector<float>& scores, lacuna::Shape const& shape) {
    return lacuna::dense_view<float, 3>(scores.data(), {shape.heads_q, 2, shape.len_k});
  }

  lacuna::Cpu exec_;
  transformer::DenseAttention const& example_;
  lacuna::VerticalSlashOf<Tile> method_;
  transformer::Buffer workspace_;
  transformer::Buffer index_memory_;
  std::vector<std::vector<float>> scores_;  // per layer, [heads_q, 2, len_k]
};

template <int Tile>
std::vector<std::int64_t> lines_for(lacuna::Cpu exec, Setup const& setup, std::span<double const> budgets,
                                    transformer::DenseAttention const& example) {
  LineDensity<Tile> density(exec, setup, example);
  std::vector<std::int64_t> lines;
  for (double budget : budgets) {
    std::int64_t low = 1;  // the most lines that are known to fit, or the fewest there are
    std::int64_t high = example.tokens() + 1;
    while (high - low > 1) {
      std::int64_t const middle = std::midpoint(low, high);
      (density(middle) <= budget ? low : high) = middle;
    }
    lines.push_back(low);
  }
  return lines;
}

Method vertical_slash_method() {
  Method method{"vertical-slash"};
  method.sizes_for = [](lacuna::Cpu exec, Setup const& setup, std::span<double const> budgets,
                        transformer::DenseAttention const& example) {
    return with_unit(setup, [&](auto tile) { return lines_for<tile()>(exec, setup, budgets, example); });
  };
  method.start = [](lacuna::Cpu, Setup const& setup, Prompt const&) {
    return with_unit(setup, [&](auto tile) -> std::unique_ptr<MethodRun> {
      auto chosen = vertical_slash<tile()>(setup, setup.size);
      return std::make_unique<PrefillRun<decltype(chosen)>>(chosen, *setup.config, setup.capacity_tokens);
    });
  };
  method.describe = [](Setup const& setup) {
    return "lines " + std::to_string(setup.size) + ", tile " + std::to_string(scaled_to(setup.length).unit_tokens) +
           ", window " + std::to_string(window_for(setup));
  };
  return method;
}

std::int64_t share_of(Setup const& setup, std::int64_t tokens) {
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(setup.budget * static_cast<double>(tokens)), 1, tokens);
}

Method snap_kv_method() {
  Method method{"snapkv", lacuna::Moment::prompt_end};
  method.start = [](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) -> std::unique_ptr<MethodRun> {
    Scaled const scaled = scaled_to(setup.length);
    std::int64_t const tokens = share_of(setup, prompt->tokens());
    lacuna::SnapKv const chosen{
        .selector = {.inner = {.inner = {.window = window_for(setup)}, .width = scaled.smoothing},
                     .sink_tokens = kSinkTokens,
                     .recent_tokens = scaled.recent_tokens},
        .budget = {.tokens = tokens}};
    return std::make_unique<EvictRun<lacuna::SnapKv>>(exec, chosen, *setup.config, setup.capacity_tokens, tokens,
                                                      *prompt);
  };
  method.describe = [](Setup const& setup) {
    Scaled const scaled = scaled_to(setup.length);
    return "window " + std::to_string(window_for(setup)) + ", smoothing " + std::to_string(scaled.smoothing) +
           ", recent " + std::to_string(scaled.recent_tokens);
  };
  return method;
}

Method quest_method() {
  Method method{"quest", lacuna::Moment::each_step};
  method.start = [](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) {
    return with_unit(setup, [&](auto page) -> std::unique_ptr<MethodRun> {
      double const pages = std::round(setup.budget * static_cast<double>(prompt->tokens()) / page());
      lacuna::QuestOf<page()> const chosen{
          .budget = {.tokens = page() * std::max<std::int64_t>(1, static_cast<std::int64_t>(pages))}};
      return std::make_unique<StepRun<lacuna::QuestOf<page()>>>(exec, chosen, *setup.config, setup.capacity_tokens,
                                                                page(), *prompt);
    });
  };
  method.describe = [](Setup const& setup) { return "page " + std::to_string(scaled_to(setup.length).unit_tokens); };
  return method;
}

Method dense_method() {
  Method method{"dense"};
  method.sparse = false;
  method.start = [](lacuna::Cpu, Setup const&, Prompt const& prompt) -> std::unique_ptr<MethodRun> {
    return std::make_unique<DenseRun>(prompt);
  };
  method.describe = [](Setup const&) { return std::string(); };
  return method;
}

}  // namespace

std::vector<Method> const& all_methods() {
  static std::vector<Method> const methods = {dense_method(), vertical_slash_method(), snap_kv_method(),
                                              quest_method()};
  return methods;
}

Method const* find_method(std::string_view name) {
  for (Method const& method : all_methods())
    if (method.name == name) return &method;
  return nullptr;
}

std::int64_t window_for(Setup const& setup) {
  Scaled const scaled = scaled_to(setup.length);
  return setup.long_tail ? scaled.long_window : scaled.window;
}

}  // namespace frontier
