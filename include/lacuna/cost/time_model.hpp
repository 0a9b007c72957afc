#pragma once

#include <cstdint>
#include <limits>

#include "lacuna/cost/work.hpp"

namespace lacuna {

// Time from work: a call takes a fixed time, and each FLOP and byte its share. The constants are the caller's, fitted
// to calls that were timed on the machine: cost/fit_rate.hpp, or the least squares of ms over [1, flops, bytes].

/// One kind of call. A term whose rate is infinite takes no time.
struct StageRate {
  double fixed_ms = 0.0;
  double tflops = std::numeric_limits<double>::infinity();        // 1e12 FLOPs per second
  double gbytes_per_s = std::numeric_limits<double>::infinity();  // 1e9 bytes per second

  constexpr double ms(Work const& work) const {
    return fixed_ms + work.flops / (tflops * 1e9) + work.bytes / (gbytes_per_s * 1e6);
  }
};

/// A phase has three kinds of call: attention to everything, attention over an index, and what makes the index.
struct PhaseRates {
  StageRate dense{};
  StageRate sparse{};
  StageRate select{};
};

/// A machine and the storage of the caches on it; a value to read, print and change.
struct TimeModel {
  PhaseRates prefill{};
  PhaseRates decode{};
  StorageBytes storage{};

  constexpr PhaseRates const& rates(Phase phase) const { return phase == Phase::prefill ? prefill : decode; }
};

/// One layer's call.
struct PredictedMs {
  double select = 0.0;
  double attend = 0.0;

  constexpr double total() const { return select + attend; }
};

/// Time of one layer's call of `method` (with its density and other parameters) on a problem of this shape. A method
/// without selection work makes no selection call.
template <MethodCost M>
constexpr PredictedMs predict(TimeModel const& model, Phase phase, M const& method, Shape const& shape) {
  AttentionWork const work = work_of(method, phase, shape, model.storage);
  PhaseRates const& rates = model.rates(phase);
  return {.select = work.select == Work{} ? 0.0 : rates.select.ms(work.select),
          .attend = (work.sparse ? rates.sparse : rates.dense).ms(work.attend)};
}

/// Whether attending to everything is at least as fast as the method, selection included.
template <MethodCost M>
constexpr bool prefers_dense(TimeModel const& model, Phase phase, M const& method, Shape const& shape) {
  return predict(model, phase, DenseCost{}, shape).total() <= predict(model, phase, method, shape).total();
}

/// The first length up to `longest` from which the method is faster than dense attention, its parameters held; longest
/// + 1 if it never is. The length stands for len_k, and in prefill for len_q too, a prompt of its own; the heads are
/// those of `heads`. By bisection, for methods that stay ahead once they are: where partly filled pages or blocks make
/// the two cross several times, one of the crossings is found.
template <MethodCost M>
constexpr std::int64_t crossover_length(TimeModel const& model, Phase phase, M const& method, Shape const& heads,
                                        std::int64_t longest = Shape::kMaxTokens) {
  std::int64_t slower = 0, faster = longest + 1;
  while (faster - slower > 1) {
    Shape shape = heads;
    shape.len_k = slower + (faster - slower) / 2;
    shape.len_q = phase == Phase::prefill ? shape.len_k : 1;
    (prefers_dense(model, phase, method, shape) ? slower : faster) = shape.len_k;
  }
  return faster;
}

}  // namespace lacuna
