#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "frontier/analysis/grid.hpp"

namespace frontier {

/// One model at one density, at one length: what it costs and how well it does on all tasks together.
struct IsoCostPoint {
  std::string model;
  std::int64_t parameters = 0;
  std::string method;  // "dense" for the baseline
  double budget = 1.0;
  double density = 1.0;       // measured, mean over tasks
  double cost = 0.0;          // FLOPs of a prompt, or elements that a step reads per sequence of the batch
  double select_share = 0.0;  // of the cost, spent on choosing
  double performance = 0.0;   // unweighted mean over tasks
  double standard_error = 0.0;
  std::int64_t tasks = 0;
  bool on_frontier = false;
  std::string dominated_by = {};  // "model method budget", empty on the frontier
};

/// Small and dense against large and sparse (The Sparse Frontier, arXiv 2504.17768): the points of all models under one
/// method and dense, at one length, by cost. A point is on the frontier when it does better than everything that costs
/// less or the same. Only tasks count that every point has.
std::vector<IsoCostPoint> iso_cost(Grid const& grid, std::string const& method, std::int64_t length, double batch);

/// Marks frontier and dominating points; orders by cost.
void mark_frontier(std::vector<IsoCostPoint>& points);

/// The smallest length at which a larger model, sparse, costs no more than some smaller dense one and does no worse,
/// one of both strictly; nothing where there is none.
std::optional<std::int64_t> crossover_length(Grid const& grid, std::string const& method, double batch);

/// Shares of the cost of a dense model that sparsity can touch, and what a fifth of the density would speed up.
struct CostShare {
  std::string model;
  std::int64_t length = 0;
  std::int64_t batch = 1;
  double attention_share = 0.0;    // of prefill FLOPs: projections and scores
  double score_share = 0.0;        // of prefill FLOPs: scores alone
  double kv_share = 0.0;           // of a step's reads
  double prefill_speedup = 1.0;    // at a fifth, scores alone
  double published_speedup = 1.0;  // at a fifth, projections too, as the study's figure has it
  double decode_speedup = 1.0;
};
CostShare cost_share(std::string const& model, lacuna::ModelDims const& dims, std::int64_t length, std::int64_t batch);

/// The models of the study, for comparison.
std::vector<std::pair<std::string, lacuna::ModelDims>> published_models();

}  // namespace frontier
