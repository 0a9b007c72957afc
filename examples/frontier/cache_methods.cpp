#include <algorithm>
#include <cmath>
#include <utility>

#include "frontier/method_list.hpp"
#include "frontier/quantised_run.hpp"

namespace frontier {
namespace {

std::string scaled_words(Setup const& setup) {
  Scaled const scaled = scaled_for(setup);
  return "window " + std::to_string(window_for(setup)) + ", smoothing " + std::to_string(scaled.smoothing) +
         ", recent " + std::to_string(scaled.recent_tokens);
}

template <class M>
void set_anchors(M& method, Setup const& setup) {
  method.selector.sink_tokens = kSinkTokens;
  method.selector.recent_tokens = scaled_for(setup).recent_tokens;
}

/// What SnapKV and its relatives have in common: smoothed attention of the last queries.
template <class M>
M snapping(Setup const& setup) {
  M method;
  set_anchors(method, setup);
  method.selector.inner.width = scaled_for(setup).smoothing;
  method.selector.inner.inner.window = window_for(setup);
  return method;
}

/// As published: the window is kept whole, and nothing else is forced.
template <class M>
M snapping_before_window(Setup const& setup) {
  M method;
  std::int64_t const window = scaled_for(setup).recent_tokens;
  method.selector.recent_tokens = window;
  method.selector.inner.inner.inner.window = window;
  return method;
}

/// make(setup) gives the method; its budget's tokens are the share of the prompt.
template <class Make>
Method evicting(std::string name, Estimator estimator, Make const& make) {
  Method method{std::move(name), lacuna::Moment::prompt_end};
  method.estimator = estimator;
  method.start = [=](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) -> std::unique_ptr<MethodRun> {
    auto chosen = make(setup);
    std::int64_t const tokens = share_of(setup, prompt->tokens());
    chosen.budget.tokens = tokens;
    if constexpr (requires { chosen.budget.floor_share; })
      if (setup.tuning.floor > 0) chosen.budget.floor_share = 0.01 * static_cast<double>(setup.tuning.floor);
    return std::make_unique<EvictRun<decltype(chosen)>>(exec, chosen, *setup.config, setup.capacity_tokens, tokens,
                                                        *prompt);
  };
  method.describe = scaled_words;
  return method;
}

lacuna::CoverageSnapKv coverage(Setup const& setup, std::int64_t thousandths) {
  auto method = snapping<lacuna::CoverageSnapKv>(setup);
  method.budget = {.share = share(thousandths), .floor_tokens = kSinkTokens + scaled_for(setup).recent_tokens + 1};
  return method;
}

Method coverage_method() {
  Method method{"coverage-snapkv", lacuna::Moment::prompt_end};
  method.estimator = Estimator::tokens;
  method.sizes_hold = true;
  method.sizes_for = [](lacuna::Cpu exec, Setup const& setup, std::span<double const> budgets,
                        transformer::DenseAttention const& example) {
    return solve_budgets(budgets, {0, 1000}, [&](std::int64_t thousandths) {
      Planned planned(coverage(setup, thousandths));
      double sum = 0.0;
      for (std::int64_t layer = 0; layer < example.layers(); ++layer) {
        planned.plan(exec, lacuna::shape_of(example.last_queries(layer)));
        planned.select(exec, example.last_queries(layer));
        sum += lacuna::density(planned.index());
      }
      return sum / static_cast<double>(example.layers());
    });
  };
  method.start = [](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) -> std::unique_ptr<MethodRun> {
    return std::make_unique<EvictRun<lacuna::CoverageSnapKv>>(exec, coverage(setup, setup.size), *setup.config,
                                                              setup.capacity_tokens, prompt->tokens(), *prompt);
  };
  method.describe = [](Setup const& setup) {
    return "thousandths " + std::to_string(setup.size) + ", " + scaled_words(setup);
  };
  return method;
}

std::string page_words(Setup const& setup) { return "page " + std::to_string(scaled_for(setup).unit_tokens); }

/// At least one page.
std::int64_t page_budget(Setup const& setup, std::int64_t tokens, std::int64_t page) {
  return std::max(page, lacuna::quest_budget_tokens(tokens, setup.budget, page));
}

/// make(page) gives a method that reads a number of pages, of one of these sizes.
template <int... Pages, class Make>
Method reading(std::string name, Estimator estimator, Make const& make) {
  Method method{std::move(name), lacuna::Moment::each_step};
  method.estimator = estimator;
  method.start = [=](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) {
    return with_one_of<Pages...>(setup, [&](auto page) -> std::unique_ptr<MethodRun> {
      auto chosen = make(page);
      chosen.budget.tokens = page_budget(setup, prompt->tokens(), page());
      return std::make_unique<StepRun<decltype(chosen)>>(exec, chosen, *setup.config, setup.capacity_tokens, page(),
                                                         *prompt);
    });
  };
  method.describe = page_words;
  return method;
}

/// Quest over keys and values of 8 bits.
template <lacuna::Code C>
Method quantised(std::string name) {
  Method method{std::move(name), lacuna::Moment::each_step};
  method.estimator = Estimator::bounds;
  method.kv_bytes = 1.0;  // two scales a head are nothing
  method.start = [](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) {
    return with_unit(setup, [&](auto page) -> std::unique_ptr<MethodRun> {
      lacuna::QuestOf<page()> const quest{.budget = {.tokens = page_budget(setup, prompt->tokens(), page())}};
      return std::make_unique<QuantisedRun<lacuna::QuestOf<page()>, C>>(exec, quest, *setup.config,
                                                                        setup.capacity_tokens, page(), *prompt);
    });
  };
  method.describe = page_words;
  return method;
}

/// Pages by another selector, and as many of them as Quest reads.
template <int PageTokens, class Selector>
using Pages = lacuna::Method<lacuna::Page<PageTokens>, Selector, lacuna::FixedBudget, lacuna::PagedCache>;

/// Tokens by another selector, with what SnapKV always keeps.
template <class Selector, class Budget = lacuna::FixedBudget>
using Tokens = lacuna::Method<lacuna::Token, lacuna::Anchored<Selector, 128>, Budget, lacuna::EvictingCache>;

/// SnapKV, its tokens shared between heads by how widely their attention is spread.
using SpreadSnapKv = Tokens<lacuna::Smoothed<lacuna::WindowAttention>, lacuna::Dispersion>;

template <class Selector>
Tokens<Selector> anchored_tokens(Setup const& setup) {
  Tokens<Selector> method;
  set_anchors(method, setup);
  return method;
}

/// The share of attention at which the prompt's last query reads the nominal share of its tokens. Candidates: twice the
/// budget, at least a quarter.
template <class Make>
Method covering(std::string name, Make const& make) {
  auto const chosen_for = [make](auto page, Setup const& setup, std::int64_t tokens, std::int64_t thousandths) {
    auto chosen = make(page);
    auto const wanted = static_cast<double>(tokens) * std::max(0.25, 2.0 * setup.budget);
    chosen.selector.candidate_tokens = page() * (static_cast<std::int64_t>(wanted) / page() + 1);
    chosen.budget = {.share = share(thousandths), .floor_tokens = page()};
    return chosen;
  };
  Method method{std::move(name), lacuna::Moment::each_step};
  method.estimator = Estimator::covered_bounds;
  method.sizes_for = [=](lacuna::Cpu exec, Setup const& asked, std::span<double const> budgets,
                         transformer::DenseAttention const& example) {
    return with_unit(asked, [&](auto page) {
      using M = decltype(make(page));
      transformer::Config const& config = *asked.config;
      std::int64_t const tokens = example.tokens();
      using Layers = PagedLayers<typename M::template Store<float>>;
      Layers layers(config, tokens, config.layers * Layers::pages(tokens), std::int64_t{page()});
      for (std::int64_t layer = 0; layer < config.layers; ++layer)
        layers.append(exec, layer, example.last_queries(layer).kv);
      std::vector<std::int64_t> sizes;
      for (double budget : budgets) {
        Setup setup = asked;
        setup.budget = budget;
        auto const measured = [&](std::int64_t thousandths) {
          Planned<M> planned(chosen_for(page, setup, tokens, thousandths));
          planned.plan(exec, {1, tokens, config.heads_q, config.heads_kv, config.head_dim});
          double sum = 0.0;
          for (std::int64_t layer = 0; layer < config.layers; ++layer) {
            lacuna::Problem<float> problem = example.last_queries(layer);
            problem.q.data += (problem.len_q() - 1) * problem.q.stride(0);
            problem.q.extents[0] = 1;
            problem.kv = layers[layer].view();
            planned.select(exec, problem);
            sum += lacuna::density(planned.index());
          }
          return sum / static_cast<double>(config.layers);
        };
        sizes.push_back(lacuna::solve_for_density(budget, 0, 1000, measured).parameter);
      }
      return sizes;
    });
  };
  method.start = [=](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) {
    return with_unit(setup, [&](auto page) -> std::unique_ptr<MethodRun> {
      auto chosen = chosen_for(page, setup, prompt->tokens(), setup.size);
      return std::make_unique<StepRun<decltype(chosen)>>(exec, chosen, *setup.config, setup.capacity_tokens, page(),
                                                         *prompt);
    });
  };
  method.describe = [](Setup const& setup) {
    return "thousandths " + std::to_string(setup.size) + ", " + page_words(setup);
  };
  return method;
}

/// Half of the way by forgetting, half by reading: SnapKV keeps the square root of the budget, Quest reads the budget.
Method snap_then_quest_method() {
  Method method{"snap-then-quest", lacuna::Moment::prompt_end};
  method.estimator = Estimator::tokens;
  method.start = [](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) {
    return with_unit(setup, [&](auto page) -> std::unique_ptr<MethodRun> {
      Setup generous = setup;
      generous.budget = std::sqrt(setup.budget);
      auto snap = snapping<lacuna::SnapKv>(setup);
      snap.budget.tokens = share_of(generous, prompt->tokens());
      lacuna::QuestOf<page()> const quest{.budget = {.tokens = page_budget(setup, prompt->tokens(), page())}};
      return std::make_unique<EvictStepRun<lacuna::SnapKv, lacuna::QuestOf<page()>>>(
          exec, snap, quest, *setup.config, setup.capacity_tokens, page(), *prompt);
    });
  };
  method.describe = [](Setup const& setup) { return page_words(setup) + ", " + scaled_words(setup); };
  return method;
}

/// Methods that forget after every step. `half` of the budget is for recent tokens, or the newest alone is safe.
template <class M>
Method forgetting(std::string name, bool half) {
  Method method{std::move(name), lacuna::Moment::evict_each_step};
  method.estimator = half ? Estimator::accumulated : Estimator::newest;
  method.start = [=](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) -> std::unique_ptr<MethodRun> {
    M chosen;
    chosen.budget.tokens = share_of(setup, prompt->tokens());
    if (half) chosen.selector.recent_tokens = chosen.budget.tokens / 2;
    return std::make_unique<StepEvictRun<M>>(exec, chosen, *setup.config, setup.capacity_tokens, *prompt);
  };
  method.describe = [=](Setup const&) { return std::string(half ? "recent half" : "recent 1"); };
  return method;
}

/// As many tokens as the other evicting methods hold, the newest besides.
Method streaming_decode_method(std::string name, bool rerotate) {
  Method method{std::move(name), lacuna::Moment::evict_each_step};
  method.start = [=](lacuna::Cpu exec, Setup const& setup, Prompt const& prompt) -> std::unique_ptr<MethodRun> {
    std::int64_t const recent = std::max<std::int64_t>(share_of(setup, prompt->tokens()) - kSinkTokens + 1, 1);
    lacuna::StreamingRule const rule{.sink_tokens = kSinkTokens,
                                     .recent_tokens = recent,
                                     .rerotate = rerotate,
                                     .rope = {.theta = setup.config->rope_theta}};
    return std::make_unique<RingRun>(exec, rule, *setup.config, setup.capacity_tokens, *prompt);
  };
  method.describe = [=](Setup const&) {
    return "sinks " + std::to_string(kSinkTokens) + (rerotate ? ", positions of the cache" : "");
  };
  return method;
}

}  // namespace

std::vector<Method> cache_methods() {
  return {
      evicting("snapkv", Estimator::tokens, snapping<lacuna::SnapKv>),
      evicting("ada-snapkv", Estimator::tokens, snapping<lacuna::AdaSnapKv>),
      evicting("spread-snapkv", Estimator::tokens, snapping<SpreadSnapKv>),
      coverage_method(),
      evicting("snapkv-original", Estimator::tokens, snapping_before_window<lacuna::OriginalSnapKv>),
      evicting("adakv-original", Estimator::tokens, snapping_before_window<lacuna::OriginalAdaKv>),
      evicting("snapkv-random", Estimator::none, anchored_tokens<lacuna::RandomSelector>),
      evicting("snapkv-oracle", Estimator::everything, anchored_tokens<lacuna::OracleSelector>),
      reading<8, 16, 32>("quest", Estimator::bounds, [](auto page) { return lacuna::QuestOf<page()>{}; }),
      reading<8, 16>("ada-quest", Estimator::bounds, [](auto page) { return lacuna::AdaQuestOf<page()>{}; }),
      reading<8, 16>("quest-random", Estimator::none,
                     [](auto page) { return Pages<page(), lacuna::RandomSelector>{}; }),
      reading<8, 16>("quest-oracle", Estimator::everything,
                     [](auto page) { return Pages<page(), lacuna::OracleSelector>{}; }),
      quantised<std::int8_t>("quest-int8"),
      quantised<lacuna::float8_e4m3>("quest-fp8"),
      covering("quest-top-p", [](auto page) { return lacuna::QuestTopPOf<page()>{}; }),
      covering("twilight", [](auto page) { return lacuna::TwilightOf<page()>{}; }),
      snap_then_quest_method(),
      forgetting<lacuna::Tova>("tova", false),
      forgetting<lacuna::OriginalTova>("tova-original", false),
      forgetting<lacuna::H2o>("h2o", true),
      forgetting<lacuna::H2oPerQuery>("h2o-per-query", true),
      streaming_decode_method("streaming-decode", false),
      streaming_decode_method("streaming-decode-rerotated", true),
  };
}

}  // namespace frontier
