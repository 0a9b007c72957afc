#include "frontier/cost.hpp"

#include <algorithm>

namespace frontier {
namespace {

double score_flops(lacuna::ModelDims const& model, std::int64_t tokens) {
  return lacuna::prefill_flops(model, tokens).scores;
}

double select_flops(lacuna::ModelDims const& model, Estimator estimator, CostInputs const& inputs,
                    std::int64_t tokens) {
  std::int64_t const window = std::min(inputs.window, tokens);
  switch (estimator) {
    case Estimator::lines: return lacuna::vertical_slash_index_flops(model, tokens, window, inputs.lines, inputs.lines);
    case Estimator::covered_lines:
      return lacuna::flex_prefill_index_flops(model, tokens, window, inputs.lines, inputs.lines);
    case Estimator::blocks: return lacuna::block_sparse_index_flops(model, tokens, inputs.unit_tokens);
    case Estimator::antidiagonals: return score_flops(model, tokens) / static_cast<double>(inputs.unit_tokens);
    case Estimator::tokens: return lacuna::snap_kv_index_flops(model, tokens, window, inputs.smoothing);
    // Logits and softmax again; sums of values are not needed.
    case Estimator::accumulated: return 0.5 * score_flops(model, tokens);
    default: return 0.0;
  }
}

double select_reads(lacuna::ModelDims const& model, Estimator estimator, CostInputs const& inputs, std::int64_t tokens,
                    double density) {
  double const keys = 0.5 * lacuna::decode_reads(model, tokens).kv;
  double const bounds =
      density < 1.0 ? lacuna::quest_index_reads(model, tokens, std::max<std::int64_t>(inputs.unit_tokens, 1)) : 0.0;
  switch (estimator) {
    case Estimator::bounds: return bounds;
    case Estimator::covered_bounds: return bounds + keys * std::min(1.0, std::max(0.25, 2.0 * density));
    default: return 0.0;
  }
}

}  // namespace

lacuna::ModelDims dims_of(transformer::Config const& config) {
  return {.layers = config.layers,
          .heads_q = config.heads_q,
          .heads_kv = config.heads_kv,
          .dim = config.head_dim,
          .hidden = config.hidden_size,
          .mlp = config.intermediate_size,
          .vocab = config.vocab_size};
}

Cost cost_of(lacuna::ModelDims const& model, lacuna::Moment moment, Estimator estimator, CostInputs const& inputs,
             std::int64_t tokens, double density, double kv_bytes) {
  bool const prompt = moment == lacuna::Moment::prefill;
  Cost cost;
  cost.kv_bytes = kv_bytes;
  if (estimator == Estimator::everything) {
    // A control's price is that of dense attention, and then that of what it kept.
    cost.prefill_select_flops = prompt ? score_flops(model, tokens) : 0.0;
    cost.select_reads = prompt ? 0.0 : 0.5 * lacuna::decode_reads(model, tokens).kv;
  } else {
    cost.prefill_select_flops = select_flops(model, estimator, inputs, tokens);
    cost.select_reads = select_reads(model, estimator, inputs, tokens, density);
  }
  cost.prefill_flops =
      lacuna::prefill_flops(model, tokens, prompt ? density : 1.0, lacuna::Accounting::exact, cost.prefill_select_flops)
          .total();
  lacuna::DecodeReads const reads = lacuna::decode_reads(model, tokens, 1, prompt ? 1.0 : density);
  cost.weight_reads = reads.weights;
  cost.kv_reads = reads.kv;
  return cost;
}

}  // namespace frontier
