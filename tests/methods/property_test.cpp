#include "support/property.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_keys.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

// Random shapes, layouts, masks, numbers and parameters for every method. Whatever comes: the answer is attention over
// exactly what the index keeps, in exactly the planned memory, with the same bits in any layout and for any workers.

namespace {

using support::Data;
using support::Layout;
using support::Random;

template <class... Methods>
struct List {};
using Methods =
    List<lacuna::VerticalSlashOf<16>, lacuna::VerticalSlashGqaOf<8>, lacuna::FlexPrefillOf<16>,
         lacuna::OriginalFlexPrefillOf<16, 16>, lacuna::BlockSparseOf<8>, lacuna::BlockSparseGqa,
         lacuna::BlockTopPOf<8>, lacuna::BlockAntidiagonalOf<16>, lacuna::XAttentionOf<32>, lacuna::SpargeOf<8>,
         lacuna::QueryAwareBlocksOf<16>, lacuna::Streaming, lacuna::DuoPrefill, lacuna::Dense, lacuna::SnapKv,
         lacuna::AdaSnapKv, lacuna::CoverageSnapKv, lacuna::OriginalSnapKv, lacuna::OriginalAdaKv, lacuna::QuestOf<8>,
         lacuna::Quest, lacuna::AdaQuest, lacuna::QuestTopPOf<8>, lacuna::Tova, lacuna::OriginalTova,
         lacuna::Method<lacuna::Block<16>, lacuna::RandomSelector, lacuna::Sublinear<lacuna::FixedBudget>,
                        lacuna::ContiguousCache>,
         lacuna::Method<lacuna::Page<4>, lacuna::OracleSelector, lacuna::Dispersion, lacuna::PagedCache>>;

std::vector<std::uint8_t> const classes{1, 0, 1, 1};

/// Parameters that fit a problem of `len` tokens, whatever members a word has.
template <class W>
void vary(W& word, Random& random, std::int64_t unit, std::int64_t heads_kv) {
  std::int64_t const tokens = unit * (1 + random.below(96 / unit));
  if constexpr (requires { word.inner; }) vary(word.inner, random, unit, heads_kv);
  if constexpr (requires { word.window = std::int64_t{}; }) word.window = 1 + random.below(40);
  if constexpr (requires { word.width = std::int64_t{}; }) word.width = 1 + 2 * random.below(5);
  if constexpr (requires { word.tokens = std::int64_t{}; }) word.tokens = tokens + 2 * unit + 16;
  if constexpr (requires { word.tokens = std::int64_t{}; }) word.tokens = word.tokens / unit * unit;
  if constexpr (requires { word.columns = word.diagonals = std::int64_t{}; })
    word.columns = 1 + random.below(60), word.diagonals = 1 + random.below(60);
  if constexpr (requires { word.floor_tokens = std::int64_t{}; }) word.floor_tokens = 17 + random.below(40);
  if constexpr (requires { word.share = double{}; }) word.share = random.below(6) == 0 ? 1.0 : random.uniform();
  if constexpr (requires { word.sink_tokens = std::int64_t{}; }) word.sink_tokens = random.below(5);
  if constexpr (requires { word.recent_tokens = std::int64_t{}; }) word.recent_tokens = random.below(12);
  if constexpr (requires { word.window_tokens = std::int64_t{}; }) word.window_tokens = 1 + random.below(30);
  if constexpr (requires { word.dense_queries = std::int64_t{}; }) word.dense_queries = random.below(9);
  if constexpr (requires { word.reference_tokens = std::int64_t{}; }) word.reference_tokens = 1 + random.below(300);
  if constexpr (requires { word.candidate_tokens = std::int64_t{}; }) word.candidate_tokens = tokens;
  if constexpr (requires { word.threshold = float{}; }) word.threshold = static_cast<float>(random.uniform() - 0.3);
  if constexpr (std::is_same_v<W, lacuna::Divergence>) word.threshold = random.uniform(), word.block_tokens = 16;
  if constexpr (std::is_same_v<W, lacuna::Antidiagonal>) word.stride = std::int64_t{1} << random.below(4);
  if constexpr (requires { word.share_group = true; }) word.share_group = random.below(2) == 0;
  if constexpr (std::is_same_v<W, lacuna::GivenHeads>) word.second = {classes.data(), {heads_kv}, {1}};
}

template <class M>
void vary_method(M& method, Random& random, std::int64_t heads_kv) {
  if constexpr (requires { method.unit; }) {
    vary(method.selector, random, method.unit.tokens(1), heads_kv);
    vary(method.budget, random, method.unit.tokens(1), heads_kv);
  } else if constexpr (requires { method.chooser; }) {
    vary_method(method.first, random, heads_kv);
    vary_method(method.second, random, heads_kv);
    vary(method.chooser, random, 1, heads_kv);
  } else {
    vary(method, random, 1, heads_kv);
  }
}

reference::Inputs random_inputs(Random& random, bool one_query, Data data) {
  constexpr std::array<std::int64_t, 9> kGroups{1, 2, 3, 4, 5, 6, 7, 8, 16};
  constexpr std::array<std::int64_t, 10> kDims{1, 3, 16, 20, 32, 64, 80, 96, 128, 256};
  std::int64_t const len_k = 1 + random.below(random.below(4) == 0 ? 200 : 90);
  std::int64_t const len_q = one_query ? 1 : random.below(3) == 0 ? 1 + random.below(len_k) : len_k;
  std::int64_t const group = kGroups[static_cast<std::size_t>(random.below(9))];
  std::int64_t const heads_kv = 1 + random.below(group > 4 ? 1 : 3);
  std::int64_t const dim = kDims[static_cast<std::size_t>(random.below(one_query ? 10 : 6))];
  auto in = support::make_inputs<float>({len_q, len_k, heads_kv, group, dim}, data, random.bits());
  if (random.below(3) == 0) in.window_tokens = 1 + random.below(len_k + 10);
  if (data == Data::random) {
    if (random.below(4) == 0) in.soft_cap = 0.5 + 5.0 * random.uniform();
    if (random.below(4) == 0)
      for (std::int64_t head = 0; head < in.heads_q; ++head) in.sink_logits.push_back(random.normal());
    for (double& logit : in.sink_logits) logit = support::round_to<float>(logit);
  }
  return in;
}

/// Empty, or what went wrong.
template <class M>
std::string one_case(std::uint64_t seed) {
  Random random(seed);
  constexpr std::array<Data, 6> kData{Data::random,  Data::random, Data::ties,
                                      Data::nan_key, Data::huge,   Data::infinite_query};
  Data const data = kData[static_cast<std::size_t>(random.below(6))];
  bool const step = M::moment == lacuna::Moment::each_step;
  auto const in = random_inputs(random, step, data);
  M method;
  vary_method(method, random, in.heads_kv);
  std::int64_t page = 16;
  if constexpr (requires { method.unit.tokens(1); }) page = method.unit.tokens(1);
  auto const layouts = support::layouts();
  Layout const layout = layouts[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(layouts.size())))];
  std::vector<double> first;
  for (int turn = 0; turn < 2; ++turn) {
    support::BoundsCase<float> c(in, page, turn == 0 ? Layout{} : layout);
    support::MethodRun<M> run(method, c.problem(), turn == 0 ? lacuna::Cpu{} : support::backwards(3));
    if (std::string const why = run.run(c.problem(), c.problem_case().out()); !why.empty()) return why;
    if (!c.problem_case().exactly_the_answer_was_written()) return "not exactly the answer was written";
    double const share = lacuna::density(run.index(), in.window_tokens);
    if (!(share >= 0.0 && share <= 1.0 + 1e-12)) return "density " + std::to_string(share);
    auto const answer = c.problem_case().answer();
    if (turn == 0) {
      auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
        return lacuna::forgets(M::moment) ? reference::dense_keys(in, row)
                                          : support::keys_of(run.index(), in, head, row);
      });
      if (std::string const why = support::explain_answer(c.problem_case(), exact, data); !why.empty()) return why;
      first = answer;
    } else {
      for (std::size_t i = 0; i < first.size(); ++i)
        if (first[i] != answer[i] && !(first[i] != first[i] && answer[i] != answer[i]))
          return "another layout or another order of workers changes a bit";
    }
  }
  return "";
}

template <class... M>
void all_methods(List<M...>, std::int64_t cases) {
  std::int64_t at = 0;
  auto const each = [&]<class One>() {
    for (std::int64_t i = 0; i < cases; ++i) {
      std::uint64_t const seed = static_cast<std::uint64_t>(at * 1000003 + i);
      CAPTURE(at, seed);
      REQUIRE(one_case<One>(seed) == "");
    }
    ++at;
  };
  (each.template operator()<M>(), ...);
  WARN(at << " methods, " << cases << " random cases each");
}

TEST_CASE("property: any shape, layout, mask, number and parameter, every method", "[properties]") {
  all_methods(Methods{}, support::property_cases(80));
}

}  // namespace
