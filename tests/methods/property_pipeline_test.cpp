#include <array>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/any_method.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/pipeline_run.hpp"
#include "support/property.hpp"

// Pipelines over random shapes, storage types, head sizes, groups and pages: every answer is attention over what the
// indices name among the tokens that are left, and the store holds exactly those.

namespace {

using reference::Units;
using support::Data, support::Random;
using namespace lacuna;

using Pipelines = support::List<SnapThenQuest, Pipeline<VerticalSlashOf<16>, AdaSnapKv, Quest>,
                                Pipeline<BlockSparseOf<8>, CoverageSnapKv, AdaQuest>,
                                Pipeline<DuoPrefill, OriginalSnapKv, QuestTopP>, Pipeline<XAttentionOf<32>, SnapKv>,
                                Pipeline<Streaming, Dense, H2o>, Pipeline<VerticalSlashGqaOf<16>, Dense, Tova>,
                                Pipeline<FlexPrefillOf<16>, Dense, Twilight>, Pipeline<Dense, Dense, AdaQuest>>;

template <class M>
void vary_phase(M& method, Random& random, std::int64_t heads_kv) {
  if constexpr (!std::is_same_v<typename M::Index, DenseIndex>) support::vary_method(method, random, heads_kv);
}

/// The tokens behind the places that an index keeps of each head.
void keep(std::vector<Units>& held, TokenIndex const& index) {
  for (std::size_t head = 0; head < held.size(); ++head) {
    auto const row = static_cast<std::int64_t>(head);
    Units left;
    for (std::int64_t place : support::units_of(index.tokens, row, index.counts(row)))
      left.push_back(held[head][static_cast<std::size_t>(place)]);
    held[head] = left;
  }
}

/// What a query head of a step reads: everything held, or the held tokens of its pages.
template <class Index>
Units read_of(Index const& index, reference::Inputs const& now, std::int64_t head, Units const& held) {
  if constexpr (std::is_same_v<Index, PageIndex>) {
    std::int64_t const row = head * index.rows() / now.heads_q;
    auto const places = reference::page_keys(support::units_of(index.pages, row, index.counts(row)), index.page_tokens,
                                             static_cast<std::int64_t>(held.size()));
    Units read;
    for (std::int64_t place : places) read.push_back(held[static_cast<std::size_t>(place)]);
    return read;
  } else {
    return held;
  }
}

template <class T, class P>
std::string goes_on(std::uint64_t seed) {
  Random random(seed);
  constexpr std::array<std::int64_t, 5> kDims{32, 64, 96, 128, 256}, kPages{1, 8, 16, 48, 256};
  std::int64_t const dim = kDims[seed % 5], group = support::kGroups[static_cast<std::size_t>(seed % 9)];
  std::int64_t const page = kPages[static_cast<std::size_t>(random.below(5))], heads_kv = 1 + random.below(3);
  std::int64_t const prompt = 1 + random.below(90), steps = 1 + random.below(6), total = prompt + steps;
  auto const all = support::make_inputs<T>({total, total, heads_kv, group, dim}, Data::random, random.bits());
  P pipeline;
  vary_phase(pipeline.prefill, random, heads_kv);
  vary_phase(pipeline.prompt_end, random, heads_kv);
  vary_phase(pipeline.step, random, heads_kv);
  constexpr bool evicts_once = std::is_same_v<decltype(typename P::Indices{}.prompt_end), TokenIndex>;
  constexpr bool step_evicts = std::is_same_v<decltype(typename P::Indices{}.step), TokenIndex>;
  support::CacheCase<T, P::template Store> cache(heads_kv, dim, total, page, 16);
  Shape const shape{prompt, prompt, heads_kv * group, heads_kv, dim};
  Shape longest = shape;
  longest.len_q = 1, longest.len_k = total;
  support::PipelineRun<P> run(pipeline, shape, longest);
  std::vector<Units> held(static_cast<std::size_t>(heads_kv));
  auto const append = [&](std::int64_t first, std::int64_t end) {
    for (Units& of_head : held)
      for (std::int64_t token = first; token < end; ++token) of_head.push_back(token);
    return cache.append(all, first, end);
  };
  auto const explain_held = [&]() -> std::string {
    for (std::size_t head = 0; head < held.size(); ++head)
      if (std::string const why =
              support::explain_tokens(cache.store().view(), static_cast<std::int64_t>(head), all, held[head]);
          !why.empty())
        return why;
    return cache.guards_untouched() ? "" : "wrote past the memory of the cache";
  };
  if (std::string const why = append(0, prompt); !why.empty()) return why;
  auto const in = support::rows_of(all, 0, prompt, prompt);
  support::ProblemCase<T> first(in);
  if (std::string const why = run.prompt(first, cache.store()); !why.empty()) return "prompt: " + why;
  auto const exact = reference::attend(
      in, [&](std::int64_t head, std::int64_t row) { return support::keys_of(run.indices.prefill, in, head, row); });
  if (std::string const why = support::explain_answer(first, exact); !why.empty()) return "prompt: " + why;
  if constexpr (evicts_once) keep(held, run.indices.prompt_end);
  if constexpr (step_evicts) keep(held, run.indices.step);
  if (std::string const why = explain_held(); !why.empty()) return "prompt: " + why;
  for (std::int64_t end = prompt + 1; end <= total; ++end) {
    if (std::string const why = append(end - 1, end); !why.empty()) return why;
    auto const now = support::rows_of(all, end - 1, end, end);
    support::ProblemCase<T> c(now);
    if (std::string const why = run.step(c, cache.store()); !why.empty()) return "step: " + why;
    auto const answer = reference::attend(now, [&](std::int64_t head, std::int64_t) {
      return read_of(run.indices.step, now, head, held[static_cast<std::size_t>(now.head_kv(head))]);
    });
    if (std::string const why = support::explain_answer(c, answer); !why.empty()) return "step: " + why;
    if constexpr (step_evicts) keep(held, run.indices.step);
    if (std::string const why = explain_held(); !why.empty()) return "step: " + why;
  }
  return "";
}

template <class T>
void every_pipeline() {
  support::each_method(Pipelines{}, support::property_cases(18),
                       []<class P>(std::uint64_t seed) { return goes_on<T, P>(seed); });
}

TEST_CASE("property: a prompt and steps, every pipeline", "[properties]") { every_pipeline<float>(); }

TEST_CASE("property: a prompt and steps in 16 bits, every pipeline", "[properties]") {
  every_pipeline<bfloat16>();
  every_pipeline<half>();
}

}  // namespace
