#pragma once

#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/index/scores.hpp"
#include "lacuna/kernels/cuda/candidates.cuh"

namespace lacuna::cuda {

// The small steps of a choice among the tokens or pages of a cache. A choice is (sequence, head), heads being those of
// the scores.

/// Lengths and queries of a batch, by choice.
struct Choices {
  std::int32_t const* lens;
  std::int64_t lens_stride_sequence, lens_stride_head, heads, heads_kv;
  std::int32_t const* cu_len_q;
  std::int32_t max_len_q;
  std::int64_t window_tokens;  // 0: none

  template <class T>
  Choices(BatchProblem<T> const& p, std::int64_t choices)
      : lens(p.kv.lens.data),
        lens_stride_sequence(p.kv.lens.stride(0)),
        lens_stride_head(p.kv.lens.stride(1)),
        heads(p.batch == 0 ? 1 : choices / p.batch),
        heads_kv(p.heads_kv()),
        cu_len_q(p.cu_len_q),
        max_len_q(static_cast<std::int32_t>(p.max_len_q)),
        window_tokens(p.window_tokens) {}

  __device__ std::int64_t sequence(std::int64_t choice) const { return choice / heads; }
  __device__ std::int32_t len(std::int64_t choice) const {
    return lens[choice / heads * lens_stride_sequence + choice % heads * heads_kv / heads * lens_stride_head];
  }
  __device__ std::int32_t len_q(std::int64_t choice) const {
    std::int64_t const b = choice / heads;
    return cu_len_q != nullptr ? cu_len_q[b + 1] - cu_len_q[b] : max_len_q;
  }
  /// The oldest key that the newest query sees.
  __device__ std::int64_t oldest_key(std::int64_t len) const {
    return window_tokens == 0 || len <= window_tokens ? 0 : len - window_tokens;
  }
};

struct PageCandidates {
  Choices choices;
  std::int32_t page_tokens;
  Entries<std::int32_t, 2> counts;

  __device__ void operator()(std::int64_t choice) const {
    counts(choice, 0) = max(choices.len(choice) - 1, 0) / page_tokens;
  }
};

/// The full pages before the one that holds the newest token. // [choices, 1]
template <Storage T>
Status count_page_candidates(Cuda exec, BatchProblem<T> const& problem, std::int64_t page_tokens, Counts counts) {
  if (page_tokens > INT32_MAX) page_tokens = INT32_MAX;
  return launch_each(exec, counts.extent(0),
                     PageCandidates{Choices(problem, counts.extent(0)), static_cast<std::int32_t>(page_tokens),
                                    Entries<std::int32_t, 2>(counts)});
}

struct ForcePages {
  Choices choices;
  std::int64_t page_tokens, sink_pages, recent_tokens, forced;  // per choice: the sinks, then the recent ones
  Entries<float, 3> scores;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const choice = item / forced, i = item % forced, len = choices.len(choice);
    std::int64_t const full = len > 0 ? (len - 1) / page_tokens : 0;
    std::int64_t const oldest = min(choices.oldest_key(len) / page_tokens, full);
    std::int64_t const recent = max(len - recent_tokens, std::int64_t{0}) / page_tokens;
    std::int64_t const page = i < sink_pages ? i : full - 1 - (i - sink_pages);
    if (page >= oldest && page < full && (i < sink_pages || page >= recent)) scores(choice, 0, page) = INFINITY;
  }
};

/// +inf to the full pages that hold the first and the last tokens which the newest query sees. // [choices, 1, pages]
template <Storage T>
Status force_pages(Cuda exec, BatchProblem<T> const& problem, std::int64_t page_tokens, std::int64_t sink_tokens,
                   std::int64_t recent_tokens, Scores scores) {
  auto const pages = [&](std::int64_t tokens) {
    std::int64_t const all = (tokens + page_tokens - 1) / page_tokens;
    return all < scores.extent(2) ? all : scores.extent(2);
  };
  std::int64_t const sinks = pages(sink_tokens), forced = sinks + pages(recent_tokens);
  return launch_each(exec, scores.extent(0) * forced,
                     ForcePages{Choices(problem, scores.extent(0)), page_tokens, sinks, recent_tokens, forced,
                                Entries<float, 3>(scores)});
}

struct ForceTokens {
  Choices choices;
  std::int64_t sinks, forced;  // per choice: the sinks, then the recent ones
  Entries<float, 3> scores;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const choice = item / forced, i = item % forced, len = choices.len(choice);
    std::int64_t const token = i < sinks ? i : len - 1 - (i - sinks);
    if (token >= 0 && token < len) scores(choice, 0, token) = INFINITY;
  }
};

/// +inf to the first and to the last tokens of each choice. // [choices, 1, tokens]
template <Storage T>
Status force_tokens(Cuda exec, BatchProblem<T> const& problem, std::int64_t sink_tokens, std::int64_t recent_tokens,
                    Scores scores) {
  auto const most = [&](std::int64_t tokens) { return tokens < scores.extent(2) ? tokens : scores.extent(2); };
  std::int64_t const sinks = most(sink_tokens), forced = sinks + most(recent_tokens);
  return launch_each(exec, scores.extent(0) * forced,
                     ForceTokens{Choices(problem, scores.extent(0)), sinks, forced, Entries<float, 3>(scores)});
}

template <class Limit>
struct LimitByLongest {
  Limit limit;
  Entries<std::int32_t, 2> counts;
  std::int64_t heads, kinds;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const first = item / kinds * heads, kind = item % kinds;
    std::int32_t longest = 0;
    for (std::int64_t head = first; head < first + heads; ++head) longest = max(longest, counts(head, kind));
    std::int64_t const most = limit(longest, kind);
    for (std::int64_t head = first; head < first + heads; ++head)
      if (std::int32_t& count = counts(head, kind); count > most) count = static_cast<std::int32_t>(most);
  }
};

/// counts = min(counts, limit of the most candidates that a choice of the sequence has), which they hold at first.
template <class Limit>
Status limit_by_longest(Cuda exec, std::int64_t batch, Counts counts, Limit const& limit) {
  if (batch == 0) return {};
  return launch_each(
      exec, batch * counts.extent(1),
      LimitByLongest<Limit>{limit, Entries<std::int32_t, 2>(counts), counts.extent(0) / batch, counts.extent(1)});
}

struct GiveCounts {
  std::int32_t const* tokens;
  std::int64_t tokens_stride, most_tokens, unit_tokens;
  Entries<std::int32_t, 2> counts;
  std::int64_t kinds;

  __device__ void operator()(std::int64_t item) const {
    std::int32_t& count = counts(item / kinds, item % kinds);
    std::int64_t const given = max(std::int64_t{tokens[item / kinds * tokens_stride]}, std::int64_t{0});
    std::int64_t const units = (min(given, most_tokens) + unit_tokens - 1) / unit_tokens;
    if (count > units) count = static_cast<std::int32_t>(units);
  }
};

/// counts = min(counts, units that hold as many tokens as an array says: one for each choice, or one for all).
inline Status give_counts(Cuda exec, TensorView<std::int32_t const, 1> tokens, std::int64_t most_tokens,
                          std::int64_t unit_tokens, Counts counts) {
  return launch_each(exec, counts.count(),
                     GiveCounts{tokens.data, tokens.extent(0) == 1 ? 0 : tokens.stride(0), most_tokens, unit_tokens,
                                Entries<std::int32_t, 2>(counts), counts.extent(1)});
}

struct OneLess {
  Entries<std::int32_t, 2> counts;
  std::int64_t kinds;

  __device__ void operator()(std::int64_t item) const {
    std::int32_t& count = counts(item / kinds, item % kinds);
    count = max(count - 1, 0);
  }
};

/// counts = max(counts - 1, 0).
inline Status one_less(Cuda exec, Counts counts) {
  return launch_each(exec, counts.count(), OneLess{Entries<std::int32_t, 2>(counts), counts.extent(1)});
}

struct SpareUnasked {
  Choices choices;
  std::int32_t* counts;
  std::int64_t stride;

  __device__ void operator()(std::int64_t choice) const {
    if (choices.len_q(choice) == 0) counts[choice * stride] = -1;
  }
};

/// -1, which keeps everything, for the choices of sequences without a query. // [choices]
template <Storage T>
Status spare_unasked(Cuda exec, BatchProblem<T> const& problem, TensorView<std::int32_t, 1> counts) {
  return launch_each(exec, counts.extent(0),
                     SpareUnasked{Choices(problem, counts.extent(0)), counts.data, counts.stride(0)});
}

struct ClearWindow {
  Choices choices;
  std::int64_t window;
  Entries<float, 3> scores;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const choice = item / window, i = item % window, token = choices.len(choice) - 1 - i;
    if (i < choices.len_q(choice) && token >= 0) scores(choice, 0, token) = 0.0F;
  }
};

/// 0 to the tokens of each sequence's last queries. // [choices, 1, tokens]
template <Storage T>
Status clear_window(Cuda exec, BatchProblem<T> const& problem, std::int64_t window, Scores scores) {
  if (window > problem.max_len_q) window = problem.max_len_q;
  return launch_each(exec, scores.extent(0) * window,
                     ClearWindow{Choices(problem, scores.extent(0)), window, Entries<float, 3>(scores)});
}

struct MeanOfLayer {
  std::int64_t heads, units;
  Entries<std::int32_t, 2> candidates;
  Entries<float, 3> scores;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const first = item / units * heads, unit = item % units;
    if (unit >= candidates(first, 0)) return;
    float sum = 0.0F;
    for (std::int64_t head = first; head < first + heads; ++head) sum += scores(head, 0, unit);
    for (std::int64_t head = first; head < first + heads; ++head)
      scores(head, 0, unit) = sum / static_cast<float>(heads);
  }
};

/// All choices of a sequence go by their mean. // [batch * heads, 1, units]
inline Status mean_of_layer(Cuda exec, std::int64_t batch, Counts candidates, Scores scores) {
  if (batch == 0) return {};
  return launch_each(exec, batch * scores.extent(2),
                     MeanOfLayer{scores.extent(0) / batch, scores.extent(2), Entries<std::int32_t, 2>(candidates),
                                 Entries<float, 3>(scores)});
}

struct AddMass {
  std::int64_t heads, units;
  Entries<std::int32_t, 2> candidates;
  Entries<float, 3> mass, scores;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const choice = item / units, unit = item % units;
    if (unit >= candidates(choice, 0)) return;
    float& sum = mass(choice / heads, choice % heads, unit);
    sum += scores(choice, 0, unit);
    scores(choice, 0, unit) = sum;
  }
};

/// What tokens have received so far grows by the scores, and takes their place. // [batch * heads, 1, units]
inline Status add_mass(Cuda exec, TensorView<float, 3> mass, Counts candidates, Scores scores) {
  return launch_each(exec, scores.extent(0) * scores.extent(2),
                     AddMass{mass.extent(1), scores.extent(2), Entries<std::int32_t, 2>(candidates),
                             Entries<float, 3>(mass), Entries<float, 3>(scores)});
}

struct DivideByQueries {
  std::int64_t heads, units;
  Entries<std::int32_t, 2> candidates;
  Entries<std::int32_t const, 3> positions;
  Entries<float, 3> scores;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const choice = item / units, unit = item % units, b = choice / heads, head = choice % heads;
    std::int32_t const len = candidates(choice, 0);
    if (unit < len)
      scores(choice, 0, unit) /= static_cast<float>(positions(b, head, len - 1) - positions(b, head, unit) + 1);
  }
};

/// Divides each token's score by the number of queries that came at or after it. // [batch * heads, 1, units]
inline Status divide_by_queries(Cuda exec, TensorView<std::int32_t const, 3> positions, Counts candidates,
                                Scores scores) {
  return launch_each(exec, scores.extent(0) * scores.extent(2),
                     DivideByQueries{positions.extent(1), scores.extent(2), Entries<std::int32_t, 2>(candidates),
                                     Entries<std::int32_t const, 3>(positions), Entries<float, 3>(scores)});
}

}  // namespace lacuna::cuda
