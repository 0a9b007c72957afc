#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "frontier/method_list.hpp"

namespace frontier {
namespace {

template <int Tile>
lacuna::VerticalSlashOf<Tile> vertical_slash(Setup const& setup, std::int64_t lines) {
  return {.selector = {.inner = {.window = window_for(setup)},
                       .sink_tokens = kSinkTokens,
                       .recent_tokens = scaled_for(setup).recent_diagonals},
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
  method.estimator = Estimator::lines;
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
    return "lines " + std::to_string(setup.size) + ", tile " + std::to_string(scaled_for(setup).unit_tokens) +
           ", window " + std::to_string(window_for(setup));
  };
  return method;
}

/// A prefill method with one parameter. make(unit, setup, parameter) gives the method of the library; `range` of the
/// number of tokens is where the parameter is searched for, by measuring what it keeps of the example.
template <class Make, class Range>
Method searched(std::string name, std::string word, Estimator estimator, Make const& make, Range const& range) {
  Method method{std::move(name)};
  method.estimator = estimator;
  method.sizes_for = [=](lacuna::Cpu exec, Setup const& setup, std::span<double const> budgets,
                         transformer::DenseAttention const& example) {
    return solve_budgets(budgets, range(setup, example.tokens()), [&](std::int64_t parameter) {
      return with_unit(setup, [&](auto unit) {
        Planned planned(make(unit, setup, parameter));
        double sum = 0.0;
        for (std::int64_t layer = 0; layer < example.layers(); ++layer) {
          lacuna::Problem<float> const problem = example.last_queries(layer);
          planned.plan(exec, lacuna::shape_of(problem));
          planned.select(exec, problem);
          sum += lacuna::density(planned.index());
        }
        return sum / static_cast<double>(example.layers());
      });
    });
  };
  method.start = [=](lacuna::Cpu, Setup const& setup, Prompt const&) {
    return with_unit(setup, [&](auto unit) -> std::unique_ptr<MethodRun> {
      auto chosen = make(unit, setup, setup.size);
      return std::make_unique<PrefillRun<decltype(chosen)>>(chosen, *setup.config, setup.capacity_tokens);
    });
  };
  method.describe = [=](Setup const& setup) {
    return word + " " + std::to_string(setup.size) + ", unit " + std::to_string(scaled_for(setup).unit_tokens);
  };
  return method;
}

/// Pairs that `top` blocks for each query block keep, own blocks by half, of all causal ones.
double block_density(std::int64_t blocks, std::int64_t unit, std::int64_t top) {
  double const full = static_cast<double>(unit * unit), own = 0.5 * static_cast<double>(unit * (unit + 1));
  double kept = 0.0;
  for (std::int64_t row = 0; row < blocks; ++row) kept += static_cast<double>(std::min(top, row + 1) - 1) * full + own;
  double const tokens = static_cast<double>(blocks * unit);
  return kept / (0.5 * tokens * (tokens + 1.0));
}

/// Blocks by a number for each query block, at least the three that are forced.
template <int... Units, class Make>
Method top_blocks(std::string name, Estimator estimator, Make const& make) {
  Method method{std::move(name)};
  method.estimator = estimator;
  method.sizes_hold = true;
  method.sizes_for = [](lacuna::Cpu, Setup const& setup, std::span<double const> budgets,
                        transformer::DenseAttention const& example) {
    std::int64_t const unit = scaled_for(setup).unit_tokens, blocks = (example.tokens() + unit - 1) / unit;
    return solve_budgets(budgets, {3, std::max<std::int64_t>(blocks, 3)},
                         [&](std::int64_t top) { return block_density(blocks, unit, top); });
  };
  method.start = [=](lacuna::Cpu, Setup const& setup, Prompt const&) {
    return with_one_of<Units...>(setup, [&](auto unit) -> std::unique_ptr<MethodRun> {
      auto chosen = make(unit, setup, setup.size);
      return std::make_unique<PrefillRun<decltype(chosen)>>(chosen, *setup.config, setup.capacity_tokens);
    });
  };
  method.describe = [](Setup const& setup) {
    return "blocks " + std::to_string(setup.size) + ", unit " + std::to_string(scaled_for(setup).unit_tokens);
  };
  return method;
}

template <class Make>
Method by_share(std::string name, Estimator estimator, Make const& make) {
  return searched(std::move(name), "thousandths", estimator, make, [](Setup const&, std::int64_t) {
    return ParameterRange{0, 1000};
  });
}

Method for_every_text(Method method) {
  method.sizes_hold = true;
  return method;
}

/// Coverage in thousandths with the floor where it belongs; what is below 0 lowers the floor, at coverage 0.
std::int64_t flex_floor(Setup const& setup) {
  return setup.tuning.floor > 0 ? setup.tuning.floor : scaled_for(setup).floor_lines;
}
ParameterRange flex_range(Setup const& setup, std::int64_t) {
  return {std::min<std::int64_t>(0, scaled_for(setup).recent_diagonals - flex_floor(setup)), 1000};
}

template <int Tile>
lacuna::FlexPrefillOf<Tile> flex_prefill(Setup const& setup, std::int64_t parameter) {
  std::int64_t const recent = scaled_for(setup).recent_diagonals;
  return {.selector = {.inner = {.window = window_for(setup)}, .sink_tokens = kSinkTokens, .recent_tokens = recent},
          .budget = {.share = share(std::max<std::int64_t>(parameter, 0)),
                     .floor_tokens = flex_floor(setup) + std::min<std::int64_t>(parameter, 0)}};
}

/// A method of blocks with a selector in the place of another, and the forced blocks of Block-Sparse.
template <int Block, class Selector>
using Choosing = lacuna::Method<lacuna::Block<Block>, lacuna::Anchored<Selector, 2 * Block>, lacuna::FixedBudget,
                                lacuna::ContiguousCache>;

template <int Block, class Selector>
Choosing<Block, Selector> choosing(std::int64_t blocks) {
  return {.budget = {.tokens = Block * blocks}};
}

}  // namespace

std::vector<Method> prefill_methods() {
  return {
      vertical_slash_method(),
      searched(
          "vertical-slash-gqa", "lines", Estimator::lines,
          [](auto unit, Setup const& setup, std::int64_t lines) {
            return lacuna::VerticalSlashGqaOf<unit()>{.selector = {.inner = {.inner = {.window = window_for(setup)}},
                                                                   .sink_tokens = kSinkTokens,
                                                                   .recent_tokens = scaled_for(setup).recent_diagonals},
                                                      .budget = {.columns = lines, .diagonals = lines}};
          },
          [](Setup const&, std::int64_t tokens) {
            return ParameterRange{1, tokens};
          }),
      searched(
          "flexprefill", "coverage", Estimator::covered_lines,
          [](auto unit, Setup const& setup, std::int64_t p) { return flex_prefill<unit()>(setup, p); }, flex_range),
      searched(
          "flexprefill-original", "coverage", Estimator::covered_lines,
          [](auto unit, Setup const& setup, std::int64_t p) {
            lacuna::OriginalFlexPrefillOf<unit(), 4 * unit()> method{.first = flex_prefill<unit()>(setup, p),
                                                                     .chooser = {.block_tokens = 4 * unit()}};
            method.second.selector.inner.share = share(std::max<std::int64_t>(p, 0));
            return method;
          },
          flex_range),
      top_blocks<8, 16, 32>(
          "block-sparse", Estimator::blocks,
          [](auto unit, Setup const&, std::int64_t top) { return choosing<unit(), lacuna::MeanPool>(top); }),
      top_blocks<8, 16>("block-sparse-gqa", Estimator::blocks,
                        [](auto unit, Setup const&, std::int64_t top) {
                          return choosing<unit(), lacuna::GroupShared<lacuna::MeanPool>>(top);
                        }),
      top_blocks<8, 16>(
          "block-antidiagonal", Estimator::antidiagonals,
          [](auto unit, Setup const&, std::int64_t top) { return choosing<unit(), lacuna::Antidiagonal>(top); }),
      top_blocks<8, 16>(
          "block-random", Estimator::none,
          [](auto unit, Setup const&, std::int64_t top) { return choosing<unit(), lacuna::RandomSelector>(top); }),
      top_blocks<8, 16>(
          "block-oracle", Estimator::everything,
          [](auto unit, Setup const&, std::int64_t top) { return choosing<unit(), lacuna::OracleSelector>(top); }),
      by_share("block-top-p", Estimator::blocks,
               [](auto unit, Setup const&, std::int64_t p) {
                 return lacuna::BlockTopPOf<unit()>{.budget = {.share = share(p), .floor_tokens = 3 * unit()}};
               }),
      by_share("xattention", Estimator::antidiagonals,
               [](auto unit, Setup const&, std::int64_t p) {
                 return lacuna::XAttentionOf<2 * unit()>{.budget = {.share = share(p)}};
               }),
      by_share("sparge", Estimator::blocks,
               [](auto unit, Setup const&, std::int64_t p) {
                 lacuna::SpargeOf<2 * unit()> method{.budget = {.share = share(p)}};
                 method.selector.inner.inner.true_counts = true;
                 method.selector.threshold = 0.0F;  // small models: hardly any block of theirs is like itself
                 return method;
               }),
      by_share("query-aware-blocks", Estimator::blocks,
               [](auto unit, Setup const&, std::int64_t p) {
                 lacuna::QueryAwareBlocksOf<2 * unit()> method;
                 method.selector.inner.share = share(p);
                 return method;
               }),
      for_every_text(searched(
          "streaming", "window", Estimator::none,
          [](auto, Setup const&, std::int64_t window) {
            return lacuna::Streaming{.sink_tokens = kSinkTokens, .window_tokens = window};
          },
          [](Setup const&, std::int64_t tokens) {
            return ParameterRange{1, tokens};
          })),
  };
}

}  // namespace frontier
