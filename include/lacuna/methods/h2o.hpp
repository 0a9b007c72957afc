#pragma once

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/accumulating.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/accumulated_attention.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/per_query.hpp"
#include "lacuna/units/token.hpp"

namespace lacuna {

/// After every step the token that has received least attention so far leaves, except the most recent ones (H2O, arXiv
/// 2306.14048). The original keeps half of the budget for recent tokens, as the defaults do. Called with the prompt's
/// queries first, then at every step, each exactly once.
using H2o = Method<StepToken, Anchored<AccumulatedAttention, 512, 0>, FixedBudget, AccumulatingCache>;

/// H2O as kvpress has it: what a token received is divided by the queries that could see it.
using H2oPerQuery = Method<StepToken, Anchored<PerQuery<AccumulatedAttention>, 512, 0>, FixedBudget, AccumulatingCache>;

}  // namespace lacuna
